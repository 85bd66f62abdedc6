#!/usr/bin/env node
// Puts the contract's WIT files into the package before it is packed. They are kept in one place of the repository.
import { cp, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const target = fileURLToPath(new URL("../wit", import.meta.url));
await rm(target, { recursive: true, force: true });
await cp(fileURLToPath(new URL("../../../wit", import.meta.url)), target, { recursive: true });
