import { z } from "zod";

/** One line of an OpenSSH public key file, without options: "ssh-ed25519 AAAA… comment". Control checks the key itself with ssh-keygen. */
export const SshPublicKey = z
  .string()
  .trim()
  .max(8192, "not an SSH public key: it is longer than any is")
  .regex(
    /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+={0,2}(?: [^\p{Cc}]{0,200})?$/u,
    "not an SSH public key: give one line of an OpenSSH .pub file, for example “ssh-ed25519 AAAAC3Nz… you@example.org” (never the private key)",
  );
