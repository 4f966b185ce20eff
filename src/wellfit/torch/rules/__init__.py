"""The rules of `wf.torch.lint`: each looks at live objects and returns advice."""
