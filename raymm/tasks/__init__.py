"""The tasks of the CBMF paper, each an evaluation of a trained model that is callable on its own."""
