"""Averages inside of torch's modes: what has no gradient of its own takes steps by gradients."""

import pytest
import torch

import sparseot as so


@pytest.mark.parametrize("free", ["points", "weights"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_without_gradients_change_no_number(mode, free):
    clouds = [torch.rand(n, 2, generator=torch.Generator().manual_seed(n)) for n in (20, 30)]
    how = {"support": clouds[0][:8] + 0.1, "free": free, "blur": 0.3}
    wanted = so.barycenter(clouds, **how)
    with mode():
        found = so.barycenter([cloud.clone() for cloud in clouds], **how)
    torch.testing.assert_close(found.points, wanted.points)
    torch.testing.assert_close(found.weights, wanted.weights)


def test_averages_are_not_mapped():
    for given in (lambda z: z, lambda z: [z[0], z[1]]):
        with pytest.raises(ValueError, match="torch.vmap: got a map over clouds"):
            torch.vmap(lambda z, given=given: so.barycenter(given(z), support=3, blur=0.3).points)(
                torch.rand(2, 3, 5, 2)
            )
