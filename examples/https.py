"""HTTPS with a certificate of its own: https://127.0.0.1:5000/ (a browser warns, for nobody vouches for it).

The certificate is made for each run. A real one goes into ``enable_ssl("server.pem", "key.pem", "pass phrase")``.
"""

import datetime
import ipaddress
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def app(env, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"Hello World over {env['wsgi.url_scheme']}"]


def make_certificate(path):
    """Write a key and a certificate for this machine, valid for a day, to one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    import skitai

    with tempfile.TemporaryDirectory() as directory:
        pem = Path(directory, "server.pem")
        make_certificate(pem)
        skitai.enable_ssl(str(pem))
        skitai.mount("/", app)
        skitai.run()
