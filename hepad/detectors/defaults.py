"""Default arguments of the door's detectors: the set-ups of config/ for each kind of space.
The workflow does not use them: a configuration says what it wants.
"""

from hepad.representations import Space

PRETRAINING = {"steps": 2000}
ENERGY_TRAINING = {"steps": 800, "ema_decay": 0.99}
LATENT_CHAIN = {"n_steps": 3, "step_size": 0.1, "noise_std": 0.05, "unit": True}
JOINT_CHAIN = {"n_steps": 20, "step_size": 1.5, "noise_std": 0.3}
SCALAR_ENERGY = {
    "hidden_dims": [128, 128],
    "training": {"steps": 1500, "batch": 256, "ema_decay": 0.99},
    "objective": {"gamma": 0.01},
}
AUTOENCODER = {"hidden_dims": [128, 128], "latent_dim": 4}

VECTORS = {
    "AE": {"autoencoder": AUTOENCODER, "training": PRETRAINING},
    "ConvVAE": {"network": "dense", "hidden_dims": [128, 128], "latent_dim": 4, "training": PRETRAINING},
    "NAE": {
        "autoencoder": AUTOENCODER,
        "pretraining": PRETRAINING,
        "training": ENERGY_TRAINING,
        "latent_chain": LATENT_CHAIN,
        "visible_chain": {"n_steps": 10, "step_size": 0.5, "noise_std": 0.1},
    },
    "WNAE": {
        "autoencoder": AUTOENCODER,
        "pretraining": PRETRAINING,
        "training": {**ENERGY_TRAINING, "learning_rate": 1e-4},
        "visible_chain": {"n_steps": 10, "step_size": 0.5, "noise_std": 0.1},
    },
    "IGEBM": {**SCALAR_ENERGY, "visible_chain": JOINT_CHAIN},
    "DRL": {
        "sigma": [0.3, 1.0],
        "training": {"steps": 1000, "learning_rate": 0.003, "ema_decay": 0.99},
        "visible_chain": {"n_steps": 10, "step_size": 0.05, "noise_std": 0.1},
    },
    "FlowDensity": {"training": {"steps": 2000, "batch": 256}},
    "LatentMixture": {
        "of": {"type": "AE", "autoencoder": {**AUTOENCODER, "sphere": False}},
        "training": PRETRAINING,
    },
    "Contrastive": {"network": "dense", "training": {"steps": 1500, "batch": 256}},
    "WGAN": {"training": PRETRAINING},
    "DAGMM": {"training": {"steps": 4000, "batch": 1024}},
    "DeepSVDD": {"training": PRETRAINING},
    "MaskedPrediction": {"training": {"steps": 2000, "batch": 256}},
    "FlowMatching": {"training": {"steps": 4000, "batch": 256}},
    # these two are for images alone, and say so of all else
    "Glow": {"training": {"steps": 1200, "batch": 64, "learning_rate": 2e-3, "ema_decay": 0.99}},
    "PixelCNN": {"training": {"steps": 600, "batch": 32, "learning_rate": 2e-3, "ema_decay": 0.99}},
}
VECTORS["MPDR"] = VECTORS["NAE"]

IMAGE_AUTOENCODER = {"hidden_dims": [128, 64], "latent_dim": 8}
IMAGE_PRETRAINING = {"steps": 2500}
NOISY_CHAIN = {"n_steps": 5, "step_size": 10, "noise_std": 0.08}  # from noise, or over all pixels
IMAGE_ENERGY = {
    "autoencoder": IMAGE_AUTOENCODER,
    "pretraining": IMAGE_PRETRAINING,
    "training": {"steps": 1000, "batch": 64, "ema_decay": 0.99},
}
IMAGES = VECTORS | {
    "AE": {"autoencoder": IMAGE_AUTOENCODER, "training": IMAGE_PRETRAINING},
    "ConvVAE": {"network": "strided", "hidden_dims": [100], "latent_dim": 8, "training": {"steps": 1000, "batch": 64}},
    "NAE": {
        **IMAGE_ENERGY,
        "training": {"steps": 400, "batch": 64, "ema_decay": 0.99},
        "replay": 0.0,
        "latent_chain": {"n_steps": 2, "step_size": 0.2, "noise_std": 0.05, "unit": True},
        "visible_chain": {"n_steps": 5, "step_size": 0.05, "noise_std": 0.05, "components": 256},
    },
    "WNAE": {
        **IMAGE_ENERGY,
        "training": {"steps": 1000, "batch": 64, "ema_decay": 0.99, "learning_rate": 1e-5},
        "visible_chain": NOISY_CHAIN,
    },
    "MPDR": {
        **IMAGE_ENERGY,
        "recovery": {"sigma": [0.05, 1.0]},
        "latent_chain": {"n_steps": 2, "step_size": 0.1, "noise_std": 0.02, "unit": True},
        "visible_chain": {"n_steps": 5, "step_size": 10, "noise_std": 0.005},
    },
    "LatentMixture": {
        "of": {"type": "AE", "autoencoder": {**IMAGE_AUTOENCODER, "sphere": False}},
        "training": IMAGE_PRETRAINING,
    },
    "Contrastive": {"network": "strided", "training": {"steps": 1500, "batch": 256}},
    "DAGMM": {"network": "strided", "hidden_dims": [60, 30], "training": {"steps": 1500, "batch": 256}},
    "DeepSVDD": {"network": "strided", "hidden_dims": [], "latent_dim": 32, "training": {"steps": 1500}},
    "MaskedPrediction": {"hidden_dims": [256, 256], "share": 0.75, "masks": 4, "training": IMAGE_PRETRAINING},
}

COMPONENTS = {"n_components": 8}  # components in place of pixels, for detectors without a network of images
IMAGES |= {name: VECTORS[name] | COMPONENTS for name in ("IGEBM", "DRL", "FlowDensity", "FlowMatching")}
COMPRESSIBLE = ("AE", "NAE", "WNAE", "MPDR", "IGEBM", "DRL", "FlowDensity", "WGAN", "DAGMM", "DeepSVDD")
COMPRESSIBLE += ("MaskedPrediction", "FlowMatching")
JOINED = VECTORS | {name: VECTORS[name] | COMPONENTS for name in COMPRESSIBLE}
OBJECTS = VECTORS | {
    name: {key: {**of, "network": "objects"} if key == "autoencoder" else of for key, of in VECTORS[name].items()}
    for name in ("AE", "NAE", "WNAE", "MPDR")
}
OF_OBJECTS = ("ConvVAE", "IGEBM", "DRL", "Contrastive", "DAGMM", "DeepSVDD")
OBJECTS |= {name: VECTORS[name] | {"network": "objects"} for name in OF_OBJECTS}
OBJECTS["WGAN"] = VECTORS["WGAN"] | {"autoencoder": {"network": "objects"}}
TABLES = (VECTORS, IMAGES, JOINED, OBJECTS)


def names(detector: str) -> set[str]:
    """The arguments of a detector for which there are defaults here."""
    return {argument for table in TABLES for argument in table.get(detector, {})}


def complete(detector: str, space: Space, given: dict) -> dict:
    """The ``given`` arguments of a detector, and for events of this space what they leave open."""
    if space.objects:
        table = OBJECTS
    elif not space.pixels or given.get("n_components"):
        table = VECTORS
    else:
        table = IMAGES if len(space.shape) == 3 else JOINED
    arguments = table.get(detector, {}) | given
    elsewhere = detector == "NAE" and given.get("start", "on_manifold") != "on_manifold"
    unused = ("latent_chain", "replay") if elsewhere else ("replay",) if "buffer" in given else ()
    arguments = {key: value for key, value in arguments.items() if key in given or key not in unused}
    if table is IMAGES and "components" in (chain := table.get(detector, {}).get("visible_chain", {})):
        fewer = chain | {"components": min(chain["components"], space.pixels)}
        usual = NOISY_CHAIN if given.get("start") == "persistent" else fewer
        arguments["visible_chain"] = given.get("visible_chain", usual)
    return arguments
