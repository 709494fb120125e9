// Package golden keeps what each released version has written, and has every later version
// open it: the journals of a pair, a publish store in a directory and one in a database, a
// bookmark store, and the bytes of a link and of two client sessions.
//
// testdata has an archive for each version. Its test starts a pair on the journals, goes on
// with the stores where their clients stopped, and expects every message once. To add the
// archive of a version, before its release:
//
//	go test ./internal/proof/golden -run TestWrite -write 0.1.0
package golden
