"""The only rooms where autograd meets sums over pairs: kernel sums, softmins, and who may differentiate them."""
