// Alibaba Cloud's own client for Node.js, with ALIBABA_CLOUD_CREDENTIALS_URI.
const { default: Credential, Config } = require("@alicloud/credentials");

async function main() {
  const got = await new Credential(new Config({ type: "credentials_uri" })).getCredential();
  console.log(JSON.stringify([got.accessKeyId, got.accessKeySecret, got.securityToken]));
}

main().then(
  () => process.exit(0), // a timer of the client's does not end
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
