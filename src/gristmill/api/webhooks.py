"""The secret that an owner's call-backs are signed with."""

from flask import Blueprint, Response

from gristmill.api import access, negotiation
from gristmill.api.services import services
from gristmill.callbacks import secret_text

blueprint = Blueprint("webhooks", __name__)


@blueprint.get("/webhook-secret")
def webhook_secret() -> Response:
    """The caller's own signing secret; made when first asked for, the same for all calls to this owner's URLs."""
    owner = access.require("run").owner
    negotiation.wanted_format()
    secret = secret_text(services().jobs.signing_secret(owner))
    return negotiation.json_response({"owner": owner, "secret": secret}, headers={"Cache-Control": "no-store"})
