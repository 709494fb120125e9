// Package scram has both sides of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802,
// RFC 7677): the client proves that it knows a password, and the server proves that it
// has the verifier of that password. Neither the password nor a text that replaces it
// crosses the connection. With PLUS both proofs cover the binding of the TLS connection
// (tls-exporter, RFC 9266), so that a third party cannot pass them on.
//
// Client and Server are state machines over texts, without I/O and without a lock: one
// conversation each, used by one goroutine at a time.
//
//	client                    server
//	First         ->          First       client-first: user, nonce
//	Final         <-                      server-first: nonce, salt, iterations
//	              ->          Final       client-final: binding, proof
//	Verify        <-                      server-final: the server's signature
//
// Left out on purpose:
//   - The normalisation of SASLprep (NFKC and the mapping of spaces). Users and passwords
//     are compared as the bytes of their UTF-8 text. CheckText refuses control characters
//     and text that is not UTF-8, and the client checks both. For ASCII this is all of SASLprep.
//   - Identities to act for (authzid), and extensions of messages: both are refused.
//   - Channel bindings other than tls-exporter.
//
// Errors never quote a password, a salt, a key or a proof.
package scram
