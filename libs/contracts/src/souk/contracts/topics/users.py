"""People who work for a tenant, by id and permissions alone: names and addresses stay with the owner."""

from uuid import UUID

from souk.contracts.permissions import Area, Level
from souk.contracts.state import State
from souk.contracts.topic import SERVICES, Topic


class User(State):
    """A user's organisation and the levels that override its defaults (domain.md §1)."""

    organisation_id: UUID
    levels: dict[Area, Level]
    active: bool = True


USERS = Topic(
    name="campaign.users.v1",
    owner="campaign",
    state=User,
    events=("user.created", "user.changed"),
    readers=frozenset(SERVICES),
    data_class="internal",
    partition_by="id",
    description="Users and their own permission levels, without personal data.",
)
