package main

import (
	"fmt"
	"strings"
)

// settings are what an instance is configured to ask for.
type settings struct {
	secret    bool // of the links
	linkTLS   bool
	clientTLS bool // for clients and operators, and a token for operators
	users     bool
}

// The files of an instance, in its directory.
const (
	secretFile    = "link.secret"
	linkCert      = "link.pem"
	linkKey       = "link-key.pem"
	linkCA        = "links-ca.pem"
	serverCert    = "server.pem"
	serverKey     = "server-key.pem"
	clientCA      = "clients-ca.pem"
	usersFile     = "users.yaml"
	tokenFile     = "admin.token"
	rejoinTimeout = "2s"
	downgrade     = "1s"
)

// places are the addresses of an instance.
type places struct {
	name, clients, links, admin string
	peer, peerLinks             string
}

// config returns the configuration of an instance.
func (s settings) config(p places) string {
	var b strings.Builder
	line := func(on bool, format string, args ...any) {
		if on {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	line(true, "name: %s\ngroup: pair\ndata: ./journal\nrejoin_timeout: %s", p.name, rejoinTimeout)
	line(true, "clients:\n  listen: %s", p.clients)
	line(s.clientTLS, "  tls: {cert: %s, key: %s, client_ca: %s, client_cert: optional}", serverCert, serverKey, clientCA)
	line(s.users, "  users: %s", usersFile)
	line(true, "replication:\n  listen: %s", p.links)
	line(s.linkTLS, "  tls: {cert: %s, key: %s, ca: %s}", linkCert, linkKey, linkCA)
	line(s.secret, "  secret: %s", secretFile)
	line(true, "  destinations:\n    - {name: %s, address: %s, ack: sync, downgrade_after: %s}", p.peer, p.peerLinks, downgrade)
	line(true, "admin:\n  listen: %s", p.admin)
	line(s.clientTLS, "  tls: {cert: %s, key: %s}\n  token: %s", serverCert, serverKey, tokenFile)
	line(true, "audit: {file: audit.log}")
	return b.String()
}
