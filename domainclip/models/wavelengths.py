"""Which number stands for each channel in a wavelength tower: micrometres for optics, a convention for radar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from domainclip.channel_names import canonical_channel, is_radar
from domainclip.errors import UsageError

_SHORTEST_UM, _LONGEST_UM = 0.2, 30.0
_CONVENTIONS = "3.75 for weights of DOFA v1, 5.405 for DOFA v2"


@dataclass(frozen=True)
class Wavelengths:
    """The numbers that a wavelength tower is told its channels by.

    Radar has no wavelength that the layer was made for (Sentinel-1: 55,500 um), so each published checkpoint has a number that
    stands for it: 3.75 in DOFA v1, 5.405 (the frequency in GHz) in DOFA v2 (torchgeo issue 3931, pull request 3942). It belongs
    to the weights, and another one silently gives other features.

    Attributes:
        um: Channel to its centre wavelength in micrometres; a channel of another name for the same plane (B04, red) finds it.
        sar: What stands for VV, VH, HH and HV in these weights, or None where they know no radar.
    """

    um: Mapping[str, float] = field(default_factory=dict)
    sar: float | None = None

    def __post_init__(self) -> None:
        radar = [name for name in self.um if is_radar(name)]
        if radar:
            raise UsageError(
                f"The wavelengths of {', '.join(radar)} were given in micrometres.",
                "These are radar channels: the number for them is a convention of the weights and no wavelength.",
                f"Give it once, as model.sar_wavelength ({_CONVENTIONS}).",
            )
        wrong = [f"{name}: {value:g}" for name, value in self.um.items() if not _SHORTEST_UM <= value <= _LONGEST_UM]
        if wrong:
            raise UsageError(
                "Wavelengths of channels were given in micrometres.",
                f"They lie outside of {_SHORTEST_UM:g} to {_LONGEST_UM:g} um: {', '.join(wrong)}.",
                "Give micrometres: 0.665 for red, not 665 (nanometres).",
            )

    def numbers(self, channels: Sequence[str]) -> tuple[float, ...]:
        """Returns the number of each channel, in order.

        Raises:
            UsageError: A channel has none.
        """
        missing = [name for name in channels if self.number(name) is None]
        if missing:
            raise self._unknown(channels, missing)
        return tuple(number for name in channels if (number := self.number(name)) is not None)

    def number(self, channel: str) -> float | None:
        """Returns what the tower is told of a channel, or None where nothing is known."""
        if is_radar(channel):
            return self.sar
        if channel in self.um:
            return self.um[channel]
        same = [value for name, value in self.um.items() if canonical_channel(name) == canonical_channel(channel)]
        return same[0] if same else None

    def _unknown(self, channels: Sequence[str], missing: Sequence[str]) -> UsageError:
        asked = f"A wavelength tower was to see the channels {', '.join(channels)}."
        radar = [name for name in missing if is_radar(name)]
        if radar:
            found = f"{', '.join(radar)} are radar, and no number is given that stands for radar in these weights."
            return UsageError(asked, found, f"Set model.sar_wavelength: {_CONVENTIONS}; any one number for weights of your own.")
        known = ", ".join(f"{name} {value:g}" for name, value in self.um.items()) or "none"
        remedy = "Give them in micrometres: --set 'model.wavelengths_um={red: 0.665, ...}'."
        return UsageError(asked, f"No wavelength is known of {', '.join(missing)}; known: {known}.", remedy)
