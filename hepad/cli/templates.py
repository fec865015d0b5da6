"""Detectors for a configuration of the user's own files: those of the default analysis that the files can feed."""

IMAGE = """\
  image: {type: JetImage, size: 20, sigma: 1}  # 20 x 20 pixels of pT; eta_range and phi_range are half its sides"""
VECTOR = """\
  vector:
    type: EventVector
    variables: [%s]"""
MATRIX = """\
  matrix: {type: EventMatrix, jets: 10, b_jets: 0, muons: %d, electrons: %d, photons: %d}  # objects of the event"""

# name -> entry
ON_IMAGES = {
    "ae_image": """\
  ae_image:
    label: AE, images
    type: AE
    representation: image
    autoencoder: {hidden_dims: [128, 64], latent_dim: 8}
    training: {steps: 2500}""",
    "nae_image": """\
  nae_image:
    label: NAE, images
    type: NAE
    representation: image
    pretraining: ae_image
    training: {steps: 400, batch: 64, ema_decay: 0.99}
    replay: 0
    latent_chain: {n_steps: 2, step_size: 0.2, noise_std: 0.05, unit: true}
    visible_chain: {n_steps: 5, step_size: 0.05, noise_std: 0.05, components: 256}""",
    "pca": "  pca: {label: PCA reconstruction, type: PCAReconstruction, representation: image, components: 10}",
}
ON_VECTORS = {
    "ae_vector": """\
  ae_vector:
    label: AE, vectors
    type: AE
    representation: vector
    autoencoder: {hidden_dims: [128, 128], latent_dim: 4}
    training: &vector_training {steps: 2000}""",
    "vae_vector": """\
  vae_vector:
    label: ConvVAE + planar flow, vectors
    type: ConvVAE
    representation: vector
    network: dense
    hidden_dims: [128, 128]
    latent_dim: 4
    flow: {type: Planar, layers: 6}
    score: elbo
    training: *vector_training""",
    "mpdr_r_vector": """\
  mpdr_r_vector:
    label: MPDR-R, vectors
    type: MPDR
    kind: reconstruction
    representation: vector
    pretraining: ae_vector
    training: {steps: 800, ema_decay: 0.99}
    latent_chain: {n_steps: 3, step_size: 0.1, noise_std: 0.05, unit: true}
    visible_chain: {n_steps: 10, step_size: 0.5, noise_std: 0.1}""",
    "mass_density": """\
  # simple opponents, which everything above has to beat
  mass_density: {label: -log p(mass), type: Mixture, representation: vector, variables: [mass], n_gaussians: 8}""",
    "gmm_vector": """\
  gmm_vector: {label: "Gaussian mixture, vector", type: Mixture, representation: vector, n_gaussians: 20}""",
}
ON_MATRICES = {
    "vae_matrix": """\
  vae_matrix:
    label: ConvVAE
    type: ConvVAE
    representation: matrix
    network: objects
    likelihood: chamfer
    latent_dim: 10
    beta: 0.1
    training: {steps: 1500, batch: 32}""",
    "pca": "  pca: {label: PCA reconstruction, type: PCAReconstruction, representation: matrix, components: 15}",
}
SUBSTRUCTURE = ("mass", "multiplicity", "pt_dispersion", "girth", "tau21", "tau32")
OF_EVENTS = {"met": "met", "jets": "n_jets"}  # what a file holds -> a variable


def detectors_of(present: frozenset[str]) -> tuple[list[str], list[str]]:
    """Names of detectors, and the lines of 'representations' and 'detectors', for files that hold ``present``."""
    if present and "constituents" not in present:
        rows = tuple(2 * (name in present) for name in ("muons", "electrons", "photons"))
        representations, chosen = [MATRIX % rows], ON_MATRICES
    else:
        variables = [*SUBSTRUCTURE, *(name for what, name in OF_EVENTS.items() if what in present)]
        representations, chosen = [IMAGE, VECTOR % ", ".join(variables)], ON_IMAGES | ON_VECTORS
    return list(chosen), ["representations:", *representations, "", "detectors:", *chosen.values()]
