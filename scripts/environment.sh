# Sourced by the other scripts: goes to the repository root and chooses the Python that runs it.
# In this order: $PYTHON; an active chorus_gen / chorus_aggr conda environment; .venv; python3.
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
    case "${CONDA_DEFAULT_ENV:-}" in
    chorus_*) PYTHON=python ;;
    *)
        PYTHON=python3
        if [ -x .venv/bin/python ]; then PYTHON=$(pwd)/.venv/bin/python; fi
        ;;
    esac
fi
