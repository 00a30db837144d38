"""Transport between images and volumes: weights on the pixels of a regular grid."""
