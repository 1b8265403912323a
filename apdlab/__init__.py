"""apdlab: a Jupyter-first workbench for Bayesian deep learning."""

__version__ = "0.1.0"
