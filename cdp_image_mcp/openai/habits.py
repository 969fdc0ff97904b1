"""What the server that is asked was found to want, learnt from refusals that cost nothing; kept while it runs."""

from typing import Any

import msgspec

from cdp_image_mcp.openai.plan import Plan, fits_json
from cdp_image_mcp.openai.profiles import EditForm
from cdp_image_mcp.openai.refusals.objections import Objection


class Habits:
    """One server's. Never touches what a caller chose: a picture that is not what was asked would be paid."""

    def __init__(self) -> None:
        self.left_out: set[str] = set()
        """Parameters of ours that it does not know."""
        self._added: dict[str, Any] = {}
        self._form: EditForm | None = None

    def applied(self, plan: Plan, form: EditForm | None = None) -> Plan:
        """``plan`` as it is sent there, its pictures in ``form`` where that is to be tried."""
        parameters = {name: value for name, value in plan.parameters.items() if name not in self.left_out}
        form = (form or self._form or plan.form) if plan.edit else plan.form
        return msgspec.structs.replace(plan, parameters=parameters | self._added, form=form)

    def learn(self, objection: Objection, sent: Plan) -> bool:
        """Whether what was ``sent`` and refused is worth asking again, with other parameters."""
        name = objection.unknown
        if name is not None and name in sent.parameters and name not in sent.asked:
            self.left_out.add(name)
            self._added.pop(name, None)
            return True
        missing = objection.missing
        if missing is not None and missing not in sent.parameters and missing not in self.left_out:
            self._added[missing] = "b64_json"
            return True
        return False

    def other_form(self, objection: Objection, sent: Plan) -> EditForm | None:
        """In what other form the pictures that were ``sent`` and refused may be taken; only an answer shows that."""
        if not objection.form or not sent.edit:
            return None
        self._form = None
        forms = (sent.profile.form, *sent.profile.other_forms)
        later = forms[forms.index(sent.form) + 1 :] if sent.form in forms else ()
        # One picture is in a field called ``image`` already.
        useless = {"image"} if len(sent.pictures) == 1 else set[str]()
        useless |= set() if fits_json(sent.pictures, sent.mask) else {"json"}
        return next((form for form in later if form not in useless), None)

    def takes(self, form: EditForm) -> None:
        """What came in ``form`` was answered with a picture."""
        self._form = form
