// Alibaba Cloud's own client for Node.js, without any setting but the role's name, if one is given,
// and time limits that a busy machine keeps: its own are 1 s.
// CREDENTIAL_TYPE=credentials_uri: with ALIBABA_CLOUD_CREDENTIALS_URI instead of the metadata service.
const { default: Credential, Config } = require("@alicloud/credentials");

async function main() {
  const type = process.env.CREDENTIAL_TYPE || "ecs_ram_role";
  const options = { type, timeout: 30000, connectTimeout: 30000 };
  if (process.argv[2]) options.roleName = process.argv[2];
  const got = await new Credential(new Config(options)).getCredential();
  console.log(JSON.stringify([got.accessKeyId, got.accessKeySecret, got.securityToken]));
}

main().then(
  () => process.exit(0), // a timer of the client's does not end
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
