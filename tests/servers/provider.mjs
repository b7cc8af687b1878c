// A provider of identities: node oidc-provider, with its own pages for signing in, which take any name.
// Arguments: port, address to come back to, secret. Whoever's name begins with "ops-" is in the group llm-operators, and
// so on; `GROUPS_FILE` may say otherwise, as an administrator of the provider would.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const packages = createRequire(`${process.env.PACKAGES}/node_modules/`);
const { default: Provider } = await import(pathToFileURL(packages.resolve("oidc-provider")));
const [port, back, secret] = process.argv.slice(2);

const groupsOf = (name) => JSON.parse(readFileSync(process.env.GROUPS_FILE, "utf8"))[name] ?? [];

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "batches", client_secret: secret, redirect_uris: [back] }],
  scopes: ["openid", "profile", "email", "groups"],
  claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email", "email_verified"], groups: ["groups"] },
  findAccount: (_context, name) => ({
    accountId: name,
    claims: () => ({
      sub: name,
      name: `${name[0].toUpperCase()}${name.slice(1)} of the provider`,
      preferred_username: name,
      email: `${name}@example.org`,
      email_verified: true,
      groups: groupsOf(name),
    }),
  }),
  cookies: { keys: ["only for tests"] },
  pkce: { required: () => true },
});
provider.listen(Number(port), "127.0.0.1");
