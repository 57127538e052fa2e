"""The rivals' no-op applications, each as its documentation would have it, with results stored."""
