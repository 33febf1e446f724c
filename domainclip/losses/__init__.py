"""One file per loss (layer 2).

A loss is a class whose constructor takes its options, with ``needs`` (names of fields of ``Batch`` and ``TowerOutput``) and
``__call__(output, batch, gather)``, which returns the mean over this process's rows. Averaged over processes it is the loss of
the global batch, and so are its gradients (see ``losses/gather.py``).
"""

from __future__ import annotations

from domainclip.losses.terms import Loss, TotalLoss, check_needs, losses, make_loss

__all__ = ["Loss", "TotalLoss", "check_needs", "losses", "make_loss"]
