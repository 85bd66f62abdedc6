"""A server with TLS, whose certificate a private authority signed: who trusts it reaches it, and nobody else."""

import datetime
import ipaddress
import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import SSLError
from conftest import PROGRAM, REGION, Server, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def pem(path, *parts):
    path.write_bytes(b"".join(parts))
    return path


def certificate(folder, name, issuer=None):
    """A certificate and its key; an authority's if nobody issues it, else one for this machine."""
    now = datetime.datetime.now(datetime.timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer_name, signer = issuer or (subject, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    else:
        usage = dict.fromkeys(
            "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign "
            "crl_sign encipher_only decipher_only".split(),
            False,
        )
        made = made.add_extension(x509.KeyUsage(**{**usage, "key_cert_sign": True, "crl_sign": True}), critical=True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if issuer:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        made = made.add_extension(authority, critical=False)
    made = made.sign(signer, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = pem(folder / f"{name}.pem", made.public_bytes(serialization.Encoding.PEM))
    return file, pem(folder / f"{name}.key", private), (subject, key)


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A server with TLS, and the file of its authority."""
    folder = tmp_path_factory.mktemp("tls")
    authority, _, issuer = certificate(folder, "authority")
    file, key, _ = certificate(folder, "server", issuer)
    with Server(folder, arguments=["--no-local-node", "--tls-cert", str(file), "--tls-key", str(key)]) as server:
        assert server.url.startswith("https://127.0.0.1:")
        server.authority = str(authority)
        yield server
        assert server.stop() == 0


def environment(server, home, **more):
    """Of a program that finds nothing else, and no authority of its own."""
    key = server.keys["admin"]
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": key["id"],
        "AWS_SECRET_ACCESS_KEY": key["secret"],
        "AWS_DEFAULT_REGION": REGION,
        **more,
    }


def run(server, home, *arguments, program=PROGRAM, **more):
    done = subprocess.run(
        [str(program), *map(str, arguments)], env=environment(server, home, **more), capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def test_boto3_trusts_whom_it_is_told(secure):
    trusting = secure.client(verify=secure.authority)
    assert trusting.describe_instance_information()["InstanceInformationList"] == []
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        secure.client().describe_instance_information()


def test_the_aws_cli_trusts_whom_it_is_told(secure, tmp_path):
    aws = Path(sys.executable).parent / "aws"
    ask = ["ssm", "describe-instance-information", "--output", "json", "--endpoint-url", secure.url]
    code, out, err = run(secure, tmp_path, *ask, "--ca-bundle", secure.authority, program=aws)
    assert (code, err) == (0, "") and "InstanceInformationList" in out
    code, _, err = run(secure, tmp_path, *ask, program=aws)
    assert code != 0 and "CERTIFICATE_VERIFY_FAILED" in err


def test_our_cli_trusts_whom_it_is_told(secure, tmp_path):
    ask = ["node", "list", "--endpoint", secure.url]
    assert run(secure, tmp_path, *ask, "--ca", secure.authority)[0] == 0
    # As for other programs: instead of the machine's own.
    assert run(secure, tmp_path, *ask, SSL_CERT_FILE=secure.authority)[0] == 0
    code, _, err = run(secure, tmp_path, *ask)
    assert code != 0 and err.count("invalid peer certificate") == 1 and "--ca" in err


def test_our_agent_trusts_whom_it_is_told(secure, tmp_path):
    ssm = secure.client(verify=secure.authority)
    made = ssm.create_activation(IamRole="nodes", RegistrationLimit=3)
    register = ["agent", "register", "--endpoint", secure.url, "--activation-id", made["ActivationId"]]
    register += ["--activation-code", made["ActivationCode"]]
    code, _, err = run(secure, tmp_path, *register, "--state", tmp_path / "not")
    assert code != 0 and err.count("invalid peer certificate") == 1 and "--ca" in err
    for number, (flags, trusted) in enumerate(
        [(["--ca", secure.authority], {}), ([], {"SSL_CERT_FILE": secure.authority})]
    ):
        state = ["--state", str(tmp_path / f"state{number}")]
        code, out, err = run(secure, tmp_path, *register, *state, *flags, **trusted)
        assert code == 0, err
        node = out.split("the node ")[1].split()[0]
        with open(tmp_path / f"log{number}", "wb") as log:
            agent = subprocess.Popen(
                [PROGRAM, "agent", "run", *state], env=environment(secure, tmp_path, **trusted), stderr=log
            )
            try:
                wait_for(lambda: ssm.get_connection_status(Target=node)["Status"] == "connected", "the agent")
            finally:
                agent.terminate()
                agent.wait(30)


def test_a_certificate_that_does_not_fit_its_key_is_refused(tmp_path):
    file, _, _ = certificate(tmp_path, "one")
    _, key, _ = certificate(tmp_path, "two")
    place = ["--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0", "--no-local-node"]
    for tls, words in [
        (["--tls-cert", file, "--tls-key", key], "it cannot be used with"),
        (["--tls-cert", key, "--tls-key", key], "holds no certificate"),
        (["--tls-cert", file, "--tls-key", file], "no private key"),
        (["--tls-cert", file], "--tls-key"),
    ]:
        done = subprocess.run(
            [PROGRAM, "server", *place, *map(str, tls)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode != 0 and words in done.stderr, done.stderr
