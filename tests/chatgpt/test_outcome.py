"""What a turn without a picture means: structure first, words last and only the turn's own."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cdp_image_mcp.chatgpt.network.turn import ToolError, Turn
from cdp_image_mcp.chatgpt.outcome import alert_outcome, http_outcome, turn_outcome
from cdp_image_mcp.chatgpt.page.locators import load
from cdp_image_mcp.chatgpt.watching.evidence import Kind, Verdict
from cdp_image_mcp.errors import CODES, ImageError
from fixtures.site.switches import Language, Switches
from fixtures.site.wordings import LOCALES, answer_text
from tests.chatgpt.talk import NOW

LANGUAGES = ["en", "zh", "ru", "ko", "ja", "vi", "es", "pt", "de", "fr", "pl"]

QUOTA = {
    "en": "You've hit the Plus plan limit for image generations requests. You can create more images when the limit "
    "resets in 3 hours and 20 minutes.",
    "zh": "你已达到图片创建上限。限制将在 3 小时 20 分钟后重置。",
    "ru": "Вы достигли лимита на создание изображений. Лимит будет сброшен через 3 часа 20 минут.",
    "ko": "Plus 플랜의 이미지 생성 한도에 도달했습니다. 한도는 3시간 20분 후에 재설정됩니다.",
    "ja": "画像生成の利用上限に達しました。上限は3時間20分後にリセットされます。",
    "vi": "Bạn đã đạt đến giới hạn tạo hình ảnh của gói Plus. Giới hạn sẽ được đặt lại sau 3 giờ 20 phút.",
    "es": "Has alcanzado tu límite de creación de imágenes. El límite se restablece en 3 horas y 20 minutos.",
    "pt": "Você atingiu o limite de criação de imagens do plano. O limite será redefinido em 3 horas e 20 minutos.",
    "de": "Du hast das Limit für Bildgenerierungen erreicht. Das Limit wird in 3 Stunden und 20 Minuten zurückgesetzt.",
    "fr": "Vous avez atteint la limite de création d’images. La limite sera réinitialisée dans 3 heures et 20 minutes.",
    "pl": "Osiągnięto limit generowania obrazów. Limit zresetuje się za 3 godziny i 20 minut.",
}
GUARDRAIL = {
    "en": "We’re so sorry, but the image we created may violate our guardrails concerning similarity to third-party "
    "content. If you think we got it wrong, please retry or edit your prompt.",
    "zh": "非常抱歉，生成的图片可能违反了关于裸露、色情或情色内容的防护限制。如果你认为有误，请重试或编辑提示词。",
    "ru": "Нам очень жаль, но созданное изображение может нарушать наши правила. Попробуйте ещё раз.",
    "ko": "죄송하지만 생성된 이미지가 콘텐츠 정책을 위반할 수 있습니다. 다시 시도하거나 프롬프트를 수정하세요.",
    "ja": "申し訳ありませんが、作成した画像は当社のガードレールに違反している可能性があります。",
    "vi": "Rất tiếc, hình ảnh chúng tôi tạo có thể vi phạm nguyên tắc bảo vệ của chúng tôi.",
    "es": "Lo sentimos, pero la imagen que creamos puede infringir nuestras políticas de contenido.",
    "pt": "Lamentamos, mas a imagem que criámos pode violar as nossas políticas de conteúdo.",
    "de": "Es tut uns leid, aber das erstellte Bild verstößt möglicherweise gegen unsere Inhaltsrichtlinien.",
    "fr": "Désolés, l’image que nous avons créée pourrait enfreindre nos règles.",
    "pl": "Przepraszamy, ale utworzony obraz może naruszać nasze zasady.",
}
REFUSAL = {
    "en": "I can't help with that image.",
    "zh": "抱歉，我无法生成这张图片。",
    "ru": "Извините, я не могу создать такое изображение.",
    "ko": "죄송하지만 해당 이미지는 만들 수 없습니다.",
    "ja": "申し訳ありませんが、その画像は生成できません。",
    "vi": "Xin lỗi, tôi không thể tạo hình ảnh đó.",
    "es": "Lo siento, no puedo crear esa imagen.",
    "pt": "Desculpe, não posso criar essa imagem.",
    "de": "Das kann ich leider nicht: Ich darf dieses Bild nicht erstellen.",
    "fr": "Désolé, je ne peux pas créer cette image.",
    "pl": "Przepraszam, nie mogę stworzyć tego obrazu.",
}
UPLOAD = {
    "en": "You've added all your available file uploads until 3:45 PM.",
    "zh": "您的文件上传次数已用完，请在 下午3:45 后再试。",
    "ru": "Вы исчерпали лимит загрузки файлов до 15:45.",
    "ko": "파일 업로드 한도에 도달했습니다. 오후 3:45 이후에 다시 시도하세요.",
    "ja": "ファイルのアップロード上限に達しました。午後3時45分までお待ちください。",
    "vi": "Bạn đã hết lượt tải lên tệp, vui lòng thử lại sau 15:45.",
    "es": "Has alcanzado el límite de subidas de archivos hasta las 15:45.",
    "pt": "Atingiu o limite de carregamentos de ficheiros até às 15:45.",
    "de": "Du hast das Limit für Datei-Uploads bis 15:45 erreicht.",
    "fr": "Vous avez atteint la limite de téléversement de fichiers jusqu’à 15h45.",
    "pl": "Wykorzystano limit przesyłania plików do 15:45.",
}
FAILED = {
    "en": "Something went wrong. If this issue persists please contact us through our help center at help.openai.com.",
    "zh": "出错了，请重试。",
    "ru": "Что-то пошло не так.",
    "ko": "문제가 발생했습니다.",
    "ja": "問題が発生しました。",
    "vi": "Đã xảy ra lỗi.",
    "es": "Error al generar la imagen",
    "pt": "Algo deu errado.",
    "de": "Etwas ist schiefgelaufen.",
    "fr": "Une erreur s’est produite.",
    "pl": "Coś poszło nie tak.",
}
QUESTION = {
    "en": "Which lighthouse do you mean, the one in Gdansk or the one in Genoa?",
    "zh": "您想要哪一座灯塔？",
    "ru": "Какой именно маяк вы хотите увидеть?",
    "ko": "어떤 등대를 원하시나요?",
    "ja": "どの灯台がよろしいですか？",
    "vi": "Bạn muốn ngọn hải đăng nào?",
    "es": "¿Qué faro prefieres?",
    "pt": "Qual farol prefere?",
    "de": "Welchen Leuchtturm meinst du?",
    "fr": "Quel phare voulez-vous ?",
    "pl": "Którą latarnię masz na myśli?",
}
UPLOAD_PLEASE = {
    "en": "I can't edit an image yet: please upload the source image you'd like me to change.",
    "zh": "请上传原图，我才能编辑图片。",
    "ru": "Пожалуйста, загрузите исходное изображение: без него я не могу создать правку.",
    "ko": "수정할 원본 이미지를 업로드해 주세요. 이미지 없이는 만들 수 없습니다.",
    "ja": "申し訳ありませんが、元の画像をアップロードしていただかないと編集できません。",
    "vi": "Vui lòng tải hình ảnh gốc lên để tôi chỉnh sửa.",
    "es": "Por favor, sube la imagen original para que pueda editarla.",
    "pt": "Por favor, envie a imagem original.",
    "de": "Bitte lade das Originalbild hoch.",
    "fr": "Veuillez télécharger l’image d’origine.",
    "pl": "Prześlij proszę obraz źródłowy.",
}
PYTHON = "I drew it with Python. Download lighthouse.png (sandbox:/mnt/data/lighthouse.png)."


def outcome(kind: Kind, text: str, turn: Turn | None = None) -> ImageError:
    return turn_outcome(Verdict(action="no_picture", kind=kind, text=text), turn or Turn(), now=NOW, words=load().words)


@pytest.mark.parametrize("language", LANGUAGES)
def test_43_a_refusal_is_refused(language: str) -> None:
    found = outcome("answer", REFUSAL[language])
    assert found.code == "refused"
    assert found.details["text"] == REFUSAL[language]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["stopped", "answer"])
def test_44_a_guardrail_is_refused_with_and_without_a_started_drawing(language: str, kind: Kind) -> None:
    assert outcome(kind, GUARDRAIL[language]).code == "refused"


@pytest.mark.parametrize("words", ["Mae'n ddrwg gen i.", "Þetta er ekki hægt.", "ขออภัย", "unknown words"])
def test_44_words_after_a_started_drawing_are_a_guardrail_in_any_language(words: str) -> None:
    assert outcome("stopped", words).code == "refused"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["answer", "tool_error", "stopped"])
def test_45_the_plans_limit_is_a_quota_with_its_reset_time(language: str, kind: Kind) -> None:
    found = outcome(kind, QUOTA[language])
    assert found.code == "quota_reached"
    assert found.reset_at == "2026-08-14T18:20:00+02:00"
    assert found.retry_after_seconds == 12000
    assert found.details["feature"] == "image_gen"
    assert found.spent is False


@pytest.mark.parametrize(
    ("ending", "reset"),
    [
        ("You can create more images when the limit resets in less than a minute.", "2026-08-14T15:01:00+02:00"),
        ("You can create more images when the limit resets in 24 hours.", "2026-08-15T15:00:00+02:00"),
        ("Try again after 4:30 PM.", "2026-08-14T16:30:00+02:00"),
        ("Please try again in 40 minutes", "2026-08-14T15:40:00+02:00"),
        ("Try again after Aug 16, 2026.", None),
        ("Please upgrade.", None),
    ],
)
def test_45_each_known_way_to_say_the_reset_time_is_read(ending: str, reset: str | None) -> None:
    found = outcome("answer", f"You've hit the Free plan limit for image generation requests. {ending}")
    assert (found.code, found.reset_at) == ("quota_reached", reset)


def test_45_the_tools_own_error_is_a_quota_whatever_the_assistant_says() -> None:
    turn = Turn(tool_error=ToolError("ChatGPTAgentToolRateLimitException", "limit resets in 2 hours"))
    found = outcome("tool_error", "Přepiš to prosím.", turn)
    assert (found.code, found.reset_at) == ("quota_reached", "2026-08-14T17:00:00+02:00")
    assert found.details["text"] == "Přepiš to prosím."


@pytest.mark.parametrize("language", LANGUAGES)
def test_46_the_upload_limit_is_a_quota_of_uploads(language: str) -> None:
    for found in (outcome("answer", UPLOAD[language]), alert_outcome(UPLOAD[language], now=NOW, words=load().words)):
        assert found is not None
        assert (found.code, found.details["feature"]) == ("quota_reached", "file_upload")
        assert found.reset_at == "2026-08-14T15:45:00+02:00"


@pytest.mark.parametrize("text", ["Image generation failed", "Error al generar la imagen", "", "Něco"])
def test_47_a_failed_generation_is_the_services_fault(text: str) -> None:
    assert outcome("page_error", text).code == "service_error"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["page_error", "answer", "stream_error"])
def test_48_something_went_wrong_is_the_services_fault(language: str, kind: Kind) -> None:
    assert outcome(kind, FAILED[language]).code == "service_error"


@pytest.mark.parametrize("language", LANGUAGES)
def test_49_a_question_is_only_text_and_costs_nothing(language: str) -> None:
    found = outcome("answer", QUESTION[language])
    assert (found.code, found.spent) == ("text_only", False)
    assert found.details == {"text": QUESTION[language]}


@pytest.mark.parametrize("language", LANGUAGES)
def test_50_a_wish_for_the_source_image_is_only_text(language: str) -> None:
    assert outcome("answer", UPLOAD_PLEASE[language]).code == "text_only"


def test_51_a_picture_drawn_with_python_is_only_text() -> None:
    assert outcome("answer", PYTHON).code == "text_only"


@pytest.mark.parametrize(
    "text",
    [
        "Here is a poster about the speed limit. Shall I draw it?",
        "What limit should the sign show?",
        "I can create more images of the lighthouse if you like.",
        "The captcha in your prompt would be drawn as text. Log in?",
        "Should the reset button be red?",
    ],
)
def test_words_of_limits_that_are_no_limit_are_only_text(text: str) -> None:
    assert outcome("answer", text).code == "text_only"


def test_a_question_after_a_started_drawing_is_still_a_stopped_drawing() -> None:
    assert outcome("stopped", UPLOAD_PLEASE["en"]).code == "refused"


def test_a_drawing_that_vanished_without_a_word_is_the_services_fault() -> None:
    assert outcome("stopped", "").code == "service_error"


def test_blocked_is_refused_without_any_words() -> None:
    assert outcome("blocked", "").code == "refused"


@pytest.mark.parametrize(
    "name", ["ImageModerationError", "ContentPolicyException", "content_policy_violation", "SafetySystemError"]
)
def test_a_moderation_error_of_the_tool_is_refused_by_its_name(name: str) -> None:
    assert outcome("tool_error", "", Turn(tool_error=ToolError(name, ""))).code == "refused"


@pytest.mark.parametrize("drawing", [False, True])
def test_an_unknown_tool_error_is_the_services_fault_and_may_be_tried_again(drawing: bool) -> None:
    found = outcome("tool_error", "", Turn(tool_error=ToolError("Weird", "raw"), drawing_started=drawing))
    assert (found.code, found.submitted, found.retryable) == ("service_error", True, True)
    assert (found.spent, found.invited) == ("unknown" if drawing else False, True)


def test_what_was_promised_may_have_been_charged() -> None:
    assert outcome("stopped", "No.", Turn(drawing_started=True)).spent == "unknown"


def test_the_error_carries_everything_to_the_caller() -> None:
    error = outcome("answer", QUOTA["en"])
    assert error.code == "quota_reached"
    assert error.submitted is True
    assert error.reset_at == "2026-08-14T18:20:00+02:00"
    assert error.retry_after_seconds == 12000
    assert error.next_step == CODES["quota_reached"].next_step
    assert error.details["text"].startswith("You've hit")


STAND_IN: dict[str, str] = {
    "refusal": "refused",
    "guardrail": "refused",
    "plan_limit": "quota_reached",
    "clock_limit": "quota_reached",
    "upload_limit": "quota_reached",
    "clarify": "text_only",
    "need_source": "text_only",
    "pro_python": "text_only",
    "text": "text_only",
}


@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("kind", STAND_IN)
def test_the_stand_ins_own_wordings_are_understood(kind: str, language: Language) -> None:
    clock = kind == "clock_limit"
    switches = Switches(language=language, limit_reset="clock" if clock else "hours")
    found = outcome("answer", answer_text("plan_limit" if clock else kind, switches))
    assert found.code == STAND_IN[kind]
    assert (found.reset_at is not None) == (found.code == "quota_reached")


# Alerts and refused requests

RATE = "Too many requests. You're making requests too quickly. Please wait a few minutes before trying again."


def test_the_request_rate_dialog_is_a_rate_limit() -> None:
    found = alert_outcome(RATE, now=NOW, words=load().words)
    assert found is not None
    assert (found.code, found.reset_at) == ("rate_limited", None)


@pytest.mark.parametrize(
    "text",
    ["请求过多", "Слишком много запросов", "요청이 너무 많습니다", "リクエストが多すぎます", "Quá nhiều yêu cầu",
     "Demasiadas solicitudes", "Muitas solicitações", "Zu viele Anfragen", "Trop de requêtes", "Zbyt wiele żądań"],
)  # fmt: skip
def test_the_rate_dialog_is_known_in_other_languages(text: str) -> None:
    found = alert_outcome(text, now=NOW, words=load().words)
    assert found is not None
    assert found.code == "rate_limited"


@pytest.mark.parametrize("text", ["", "Failed to load subscription", "Image created", "Please upload a file"])
def test_alerts_that_mean_nothing_to_us_are_none(text: str) -> None:
    assert alert_outcome(text, now=NOW, words=load().words) is None


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, b"", "needs_sign_in"),
        (429, b'{"detail":"Too many requests"}', "rate_limited"),
        (429, b'{"detail":{"message":"You\'ve hit the plan limit for image generation requests."}}', "quota_reached"),
        (413, b'{"detail":{"code":"message_length_exceeds_limit"}}', "invalid_input"),
        (404, b'{"detail":{"code":"conversation_inaccessible"}}', "service_error"),
        (500, b"<html>", "service_error"),
        (403, b'{"detail":"This request may violate our content policies"}', "refused"),
    ],
)
def test_a_refused_request_has_its_code_and_cost_nothing(status: int, body: bytes, code: str) -> None:
    found = http_outcome(status, body, now=NOW, words=load().words)
    assert found is not None
    assert (found.code, found.spent, found.details["http_status"]) == (code, False, status)


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limited"), (403, "service_error")])
def test_a_refusal_that_states_how_long_to_wait_is_told_with_it(status: int, code: str) -> None:
    found = http_outcome(status, b'{"detail":"Slow down."}', now=NOW, words=load().words, wait=77.0)
    assert found is not None
    assert (found.code, found.retry_after_seconds) == (code, 77.0)
    assert found.reset_at == (NOW + timedelta(seconds=77)).isoformat(timespec="seconds")


def test_an_accepted_request_has_no_outcome() -> None:
    assert http_outcome(200, b"", now=NOW, words=load().words) is None


# The wordings


def test_every_language_has_every_meaning() -> None:
    rules = load().words.rules
    for language in LANGUAGES:
        for meaning in ("quota", "upload_quota", "rate", "question", "refused", "suspicious", "failed"):
            assert any(rule.language == language and rule.meaning == meaning for rule in rules), (language, meaning)


def test_every_wording_says_where_and_when_it_comes_from() -> None:
    assert all(rule.source and rule.date for rule in load().words.rules)


def test_times_are_given_in_the_callers_zone() -> None:
    found = turn_outcome(
        Verdict(action="no_picture", kind="answer", text=QUOTA["en"]),
        Turn(),
        now=datetime(2026, 8, 14, 13, tzinfo=UTC),
        words=load().words,
    )
    assert found.reset_at == "2026-08-14T16:20:00+00:00"


# Wordings of autumn 2026 (each with where it was seen in words.json)


@pytest.mark.parametrize(
    ("kind", "words", "code"),
    [
        ("tool_error", "The image generation tool encountered an error. Please try again.", "service_error"),
        ("tool_error", "生成图片时遇到错误", "service_error"),
        ("tool_error", "图片生成失败", "service_error"),
        ("page_error", "Resume stream unavailable", "service_error"),
        ("page_error", "A network error occurred. Please check your connection and try again.", "service_error"),
        ("page_error", "Connection interrupted", "service_error"),
        ("page_error", "Соединение прервано\nПопробуем подключиться снова", "service_error"),
        ("stream_error", "You're sending messages too quickly. Please slow down.", "rate_limited"),
        ("stream_error", "We're experiencing high demand. Please try again in a few minutes.", "service_error"),
        ("stream_error", "ChatGPT is at capacity right now", "service_error"),
        ("stream_error", "Unusual activity has been detected from your device.", "verification_required"),
        ("stopped", "Here is the picture you asked for.", "service_error"),
        ("answer", '{"size":"1792x1024","n":1}', "text_only"),
        ("answer", "I can’t help create images with nudity.", "refused"),
        ("answer", "I cannot edit this image to make the person appear topless.", "refused"),
        ("answer", "I can't help with generating sexually explicit content.", "refused"),
        ("answer", "I'm unable to make images of real people unclothed.", "refused"),
        ("answer", "Я не могу отредактировать это изображение.", "refused"),
        ("answer", "이 이미지는 편집할 수 없습니다.", "refused"),
        ("answer", "申し訳ありませんが、この画像を編集することはできません。", "refused"),
        ("answer", "Lo siento, no puedo editar esa imagen.", "refused"),
        ("answer", "Es tut mir leid, dieses Bild kann ich nicht bearbeiten.", "refused"),
        ("answer", "抱歉，我无法编辑这张图片。", "refused"),
        ("answer", "Which lighthouse do you mean?", "text_only"),
    ],
)
def test_wordings_of_autumn_mean_what_they_say(kind: Kind, words: str, code: str) -> None:
    found = outcome(kind, words)
    assert found.code == code
    assert found.retryable == (code in {"service_error", "rate_limited"})


def test_a_safety_review_is_no_error_of_any_kind() -> None:
    review = "Our systems are thinking a bit more about this request before responding."
    assert load().words.meaning(review) is None


def test_an_answer_in_words_names_the_model_that_gave_it() -> None:
    found = outcome("answer", "A lighthouse stands on a rock.", Turn(model="gpt-5-5-instant"))
    assert "gpt-5-5-instant" in found.message
    assert found.details["model"] == "gpt-5-5-instant"


@pytest.mark.parametrize(
    ("status", "detail", "left", "code"),
    [
        (403, "Unusual activity has been detected from your device. Try again later.", None, "verification_required"),
        (429, "You're sending messages too quickly. Please slow down.", None, "rate_limited"),
        (429, "You've reached your image limit.", 0, "quota_reached"),
        (429, "You've hit your limit for image generation requests.", None, "quota_reached"),
        (429, "You've hit your limit for image generation requests.", 114, "rate_limited"),
        (503, "ChatGPT is at capacity right now", None, "service_error"),
    ],
)
def test_a_refused_request_has_the_code_of_its_own_words(status: int, detail: str, left: int | None, code: str) -> None:
    body = msgspec.json.encode({"detail": detail})
    found = http_outcome(status, body, now=NOW, words=load().words, left=left)
    assert found is not None
    assert (found.code, found.spent) == (code, False)


SIGNED = "https://files.example/a.png?id=file_1&sig=SECRET"
TOLD = f"You've reached your image limit. See {SIGNED} (as first.last+x@mail.example.com), or 请联系help@openai.com。"
KEPT = "You've reached your image limit. See https://files.example/a.png?… (as [e-mail]), or 请联系[e-mail]。"


def test_no_words_of_the_site_are_told_with_a_signed_address_or_an_e_mail_address() -> None:
    body = msgspec.json.encode({"detail": TOLD})
    words = load().words
    found = (
        outcome("answer", TOLD),
        alert_outcome(TOLD, now=NOW, words=words),
        http_outcome(429, body, now=NOW, words=words),
    )
    for error in found:
        assert error is not None
        assert error.details["text"] == KEPT
        assert error.message.endswith(f": {KEPT}")


def test_an_address_that_words_are_cut_off_in_is_not_told_either() -> None:
    text = outcome("answer", f"{'x' * 1_990} first.last@mail.example.com").details["text"]
    assert text == f"{'x' * 1_990} [e-mail]"


def test_a_picture_for_fine_screens_is_no_e_mail_address() -> None:
    told = "I have drawn fox@2x.png with @handle at 5 @ 6."
    assert outcome("answer", told).details["text"] == told
