"""CMU-MOSEI, from the aligned .csd files that the CMU Multimodal SDK writes: a packed data set."""
