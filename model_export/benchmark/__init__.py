"""What a bundle is worth on data that its training kept aside: every claim measured, with intervals and baselines."""
