"""The chassis' modules stand on each other in one direction."""

import grimp


def test_no_module_imports_itself_by_way_of_others():
    graph = grimp.build_graph("souk.chassis", exclude_type_checking_imports=True, cache_dir=None)

    assert graph.nominate_cycle_breakers("souk.chassis") == set()
