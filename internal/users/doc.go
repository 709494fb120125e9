// Package users has the users of a server: their credentials, permissions and limits, as a file has
// them.
//
// The file is YAML. Only its owner may read it, since its verifiers allow to try passwords, and
// its salt_key tells names of users from others.
//
//	version: 7                      # version of the permissions; each change by holdfastd user raises it
//	salt_key: BASE64                # 32 secret bytes: the made-up salts of unknown users come from them
//	users:
//	  - name: order-gateway
//	    scram: SCRAM-SHA-256$…      # verifier of the password, as in RFC 5803
//	    argon2id: $argon2id$v=19$…  # optional: for passwords that a client sends as they are
//	    cert: order-gateway         # optional: common name, or DNS, email or URI name of a client certificate
//	    client_names: ['^order-gateway-[0-9]+$']              # default: any
//	    publish: {allow: ['^orders/'], deny: ['^orders/admin']}  # default: nothing
//	    subscribe: {allow: ['^prices/']}                      # default: nothing
//	    admin: false
//	    limits: {connections: 0, publishers: 20, subscriptions: 0, bytes_per_second: 50MiB, publisher_rate: 0}
//
// Names and topics are patterns of package topic: a text without metacharacters is that topic alone,
// any other is a regular expression that matches anywhere in a topic. A deny wins over each allow.
// A limit of 0 is the server's default. A file has at most 4 MiB, 20,000 users and 50,000 regular
// expressions; the largest one takes some seconds to read.
//
// Load reads a file, Watch reads it again when it changes, Set.Authenticate decides logons, and
// Rules.Allows decides about topics. Add, Remove, SetPassword and SetRules change a file.
package users
