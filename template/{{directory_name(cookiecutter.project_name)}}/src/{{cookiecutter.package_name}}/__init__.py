"""Tasks (`tasks`) read and write; functions (`lib`) compute. See the README."""
