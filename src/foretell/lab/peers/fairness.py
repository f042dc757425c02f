"""What makes a comparison fair: a rival has the instructions that we use, and no idle thread is in anybody's way."""

from collections.abc import Mapping

from foretell.errors import ForetellError

SETTLE_S = 0.03  # around a request: threads that ran last wait busily for a while (OpenMP up to 15 ms)

# Our instruction set → the names, in llama.cpp's words, of what a build must have to be compared with it.
NEEDED = {"avx512": ("AVX512", "AVX512_VNNI"), "avx2": ("AVX2", "FMA", "F16C"), "portable": ()}


def features(system_info: str) -> dict[str, int]:
    """What a line of llama.cpp's system information says the library was built to use.

    >>> features("n_threads = 2 | CPU : AVX2 = 1 | AVX512_VNNI = 1 | REPACK = 1 |")
    {'n_threads': 2, 'AVX2': 1, 'AVX512_VNNI': 1, 'REPACK': 1}
    """
    named = (pair.split("=", 1) for pair in system_info.split("|") if "=" in pair)
    values = {name.split(":")[-1].strip(): value.split()[0] for name, value in named if value.split()}
    return {name: int(value) for name, value in values.items() if value.isdigit()}


def require(have: Mapping[str, int], isa: str, who: str) -> None:
    """Raise ForetellError if a rival lacks instructions that our engine uses."""
    missing = [name for name in NEEDED[isa] if not have.get(name)]
    if missing:
        raise ForetellError(
            f"{who} was compiled without {', '.join(missing)}, which our engine uses here: that would not be fair. "
            "Compile it for this machine as docs/benchmarks.md says, or compare with a narrower --isa"
        )
