"""Views of pictures: what they keep, what they draw, and that each is its own picture's."""

from dataclasses import replace

import pytest
import torch

from experiments.imaginarynet.learn.augment import Augmentation, gaussian_blur, soften, views

STILL = Augmentation(
    smallest_crop=1.0, brightness=0.0, contrast=0.0, saturation=0.0, blurred=0.0, shrunk=0.0, noise=0.0
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=6, side=16, seed=0):
    return torch.rand(count, 3, side, side, generator=generator(seed))


def test_views_stay_in_range_and_shape_and_follow_the_generator():
    seen = views(pictures(), Augmentation(), generator())
    assert seen.shape == (6, 3, 16, 16)
    assert 0 <= float(seen.min()) <= float(seen.max()) <= 1
    assert torch.equal(seen, views(pictures(), Augmentation(), generator()))
    assert not torch.equal(seen, views(pictures(), Augmentation(), generator(1)))


def test_the_global_generator_is_not_touched():
    before = torch.get_rng_state()
    views(pictures(), Augmentation(), generator())
    assert torch.equal(before, torch.get_rng_state())


def test_a_picture_of_one_colour_stays_one_colour_in_every_view_without_noise():
    plain = torch.rand(8, 3, 1, 1, generator=generator()).expand(-1, -1, 16, 16)
    seen = views(plain, replace(Augmentation(), noise=0.0), generator())
    torch.testing.assert_close(seen, seen.mean((2, 3), keepdim=True).expand_as(seen), atol=1e-5, rtol=0)


def test_flips_alone_give_the_picture_or_its_mirror_image(monkeypatch):
    from experiments.imaginarynet.learn import augment

    # Without the change of aspect, which a crop of the whole picture has as well.
    monkeypatch.setattr(augment, "_uniform", lambda n, low, high, generator: torch.full((n,), float(high)))
    some = pictures(20)
    seen = views(some, STILL, generator())
    kinds = {
        "same": torch.isclose(seen, some, atol=1e-5).all(dim=(1, 2, 3)),
        "mirrored": torch.isclose(seen, some.flip(3), atol=1e-5).all(dim=(1, 2, 3)),
    }
    assert (kinds["same"] ^ kinds["mirrored"]).all()
    assert kinds["same"].any()
    assert kinds["mirrored"].any()


def test_a_blur_is_each_pictures_own_and_keeps_its_mean_inside():
    some = pictures(3)
    sigmas = torch.tensor([0.2, 0.8, 1.4])
    together = gaussian_blur(some, sigmas)
    for index in range(3):
        alone = gaussian_blur(some, torch.full((3,), float(sigmas[index])))[index]
        torch.testing.assert_close(together[index], alone, atol=1e-4, rtol=0)
    assert float(together[2].var()) < float(together[1].var()) < float(some[1].var())


def test_a_blur_spreads_a_point_as_a_gaussian_does():
    point = torch.zeros(1, 1, 17, 17)
    point[0, 0, 8, 8] = 1
    seen = gaussian_blur(point, torch.tensor([1.0]))[0, 0]
    assert float(seen.sum()) == pytest.approx(1, abs=1e-5)
    assert float(seen[8, 9] / seen[8, 8]) == pytest.approx(float(torch.exp(torch.tensor(-0.5))), rel=1e-4)
    torch.testing.assert_close(seen, seen.T)


def test_softened_pictures_have_less_detail_and_the_same_colours():
    some = pictures(4, side=64)
    soft = soften(some)
    assert soft.shape == some.shape
    torch.testing.assert_close(soft.mean((2, 3)), some.mean((2, 3)), atol=0.01, rtol=0)
    assert float(soft.var()) < 0.25 * float(some.var())
