"""Redhanded: which attack made this adversarial image?

Images are float32 in [0, 1], (n, c, h, w), everywhere; normalisation belongs to the networks. The objects are of five
kinds, each made from those before it:

Images and sources
    Tensors of images with labels; a source (`redhanded.data`) is a data set with its own train/test split. A victim
    (`redhanded.models`) is a classifier of them: any `torch.nn.Module` in evaluation mode that gives logits.
Attacks and adversarial sets
    An attack is a frozen specification, `FGSM(norm="l2", eps=1.0)`; `redhanded.attacks` has all of them. `generate`
    runs attacks on a model and gives an `AdversarialSet` each: images, success, distances.
Attributors
    From images to log probabilities of classes such as the family of the attack (`redhanded.attributors`). `fit`
    makes one of adversarial sets of your own: an `AttackClassifier`, with the manners of scikit-learn.
Studies and results
    A `Study` (`load_study`) says which victims, attacks and questions; `run_study` does it and leaves a run, a folder
    of records; `write_report` makes pages of them.
Bundles and verdicts
    A bundle (`redhanded bundle RUN`, `redhanded.bundle`) is what an analyst loads: attributors, calibration, victims,
    checksums. An `Examiner` has loaded one and gives a `Verdict` for an image: ranked names with calibrated
    probabilities, or `unknown` with its reason. `attribute(images)` asks the bundles that come with the package.

What a user can do wrong raises a `redhanded.errors.RedhandedError` of one line. Packages add attacks and attributors by
entry points, and `redhanded.testing` holds them to what ours keep. A name is loaded when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
