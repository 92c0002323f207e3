"""A storage's password: part of its URL, and of nothing that is written down or shown."""

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from vbot_train.analysis.trials import HIDDEN
from vbot_train.config import ConfigError
from vbot_train.search.space import SECRET_KEYS
from vbot_train.storage_url import absolute_url, is_in_memory

QUOTES = "'\""  # of Hydra's grammar


def shown_url(storage: str | None) -> str | None:
    """A storage's URL without its password.

    Raises:
        ConfigError: It is not a URL.
    """
    if storage is None:
        return None
    try:
        url = make_url(storage)
    except SQLAlchemyError:
        raise ConfigError("storage: not a SQLAlchemy URL such as postgresql://HOST/DATABASE") from None
    secrets = {key: HIDDEN for key in url.query if "pass" in key.lower()}
    return url.update_query_dict(secrets).render_as_string(hide_password=True).replace("%2A", "*")


def check_storage(storage: str | None) -> str | None:
    """A storage's URL as typed, made absolute: every loop and every later command must find the study there.

    Raises:
        ConfigError: It is not a URL, or one of a database that none of them would find.
    """
    shown = shown_url(storage)
    if storage is None:
        return None
    if is_in_memory(storage):
        raise ConfigError(f"storage={shown}: a database in memory ends with its connection; name a file, or a server")
    return absolute_url(storage)


def without_password(argument: str) -> str:
    """An argument of the command line as it may be written down."""
    key, _, value = argument.partition("=")
    if key.lstrip("+") not in SECRET_KEYS or "${" in value:  # an interpolation, as of an environment variable
        return argument
    url = value.strip(QUOTES)
    return argument.replace(url, str(shown_url(url)))
