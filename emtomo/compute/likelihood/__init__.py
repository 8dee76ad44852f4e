"""The likelihood of particles: their views, the posterior of their poses, backends for CPU and CUDA."""
