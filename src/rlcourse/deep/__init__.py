"""Deep: values and policies that generalise, learned by gradients. NumPy or torch, as each says."""
