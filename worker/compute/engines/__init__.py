"""What runs an expert: images in, raw logits out, behind one seam."""
