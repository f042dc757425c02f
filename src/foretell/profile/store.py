"""Where profiles of this machine's models are kept: one file for each target, and for each pair of it and a draft."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from time import time

from foretell.errors import ForetellError
from foretell.profile.file import SUFFIX, Keys, Profile, read, write


@dataclass(frozen=True, slots=True)
class Found:
    """What was kept: a profile that holds here, or why there is none.

    before: one that another build of the engine made, of which the counts still hold: they are of texts.
    """

    profile: Profile | None
    why: str = ""
    before: Profile | None = None


@dataclass(frozen=True, slots=True)
class Profiles:
    """A folder of profiles. It is made when the first one is kept."""

    folder: Path

    def path(self, keys: Keys) -> Path:
        """Of the profile with these keys."""
        return self.folder / keys.name

    def paths(self) -> list[Path]:
        """Of all that are kept, the newest first."""
        return sorted(self.folder.glob(f"*{SUFFIX}"), key=lambda each: each.stat().st_mtime, reverse=True)

    def find(self, keys: Keys) -> Found:
        """The profile with these keys."""
        path = self.path(keys)
        if not path.exists():
            return Found(None, "nothing was measured yet")
        try:
            profile = read(path)
        except ForetellError as error:
            return Found(None, str(error).partition(": measure again")[0])
        why = profile.keys.foreign(keys)
        if not why:
            return Found(profile)
        return Found(None, f"the profile {path} {why}", profile if profile.keys.is_rebuilt(keys) else None)

    def age_s(self, keys: Keys) -> float:
        """Seconds since the profile with these keys was kept; none are negative, whatever the clocks did."""
        with contextlib.suppress(OSError):
            return max(0.0, time() - self.path(keys).stat().st_mtime)
        return 0.0

    def keep(self, profile: Profile) -> None:
        """Keep it in the place of another of the same models. A folder that cannot be written to is no error."""
        with contextlib.suppress(OSError, ForetellError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.path(profile.keys), profile)
