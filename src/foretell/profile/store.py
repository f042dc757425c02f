"""Where profiles of this machine's models are kept: one file for each target, and for each pair of it and a draft."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from foretell.errors import ForetellError
from foretell.profile.file import SUFFIX, Keys, Profile, read, write


@dataclass(frozen=True, slots=True)
class Found:
    """What was kept: a profile that holds here, or why there is none."""

    profile: Profile | None
    why: str = ""


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
        return Found(None, f"the profile {path} {why}") if why else Found(profile)

    def keep(self, profile: Profile) -> None:
        """Keep it in the place of another of the same models. A folder that cannot be written to is no error."""
        with contextlib.suppress(OSError, ForetellError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.path(profile.keys), profile)
