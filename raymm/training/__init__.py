"""Training of one cell, and the warm Ray Train worker groups that do it."""
