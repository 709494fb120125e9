package client_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/holdfast-mq/holdfast/client"
)

// A client that proves its password to servers with certificates of the company's own authority.
// The file with the password is read again at each attempt to connect.
func ExampleSCRAMFile() {
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile("/etc/order-gateway/ca.pem"); err != nil || !roots.AppendCertsFromPEM(pem) {
		log.Fatalf("no certificates in ca.pem: %v", err)
	}
	cfg := client.Config{
		Name:          "order-gateway",
		Servers:       []string{"tcps://a:9007/amps/json", "tcps://b:9007/amps/json"},
		RequireTLS:    true,
		TLS:           &tls.Config{RootCAs: roots},
		Authenticator: client.SCRAMFile("order-gateway", "/etc/order-gateway/password"),
	}
	if err := cfg.Check(); err != nil {
		log.Fatal(err)
	}
}

// A client whose servers and credentials come from the environment, for example of a container.
func ExampleConfigFromEnv() {
	os.Setenv("HOLDFAST_SERVERS", "tcp://a:9007/amps/json,tcp://b:9007/amps/json")
	defer os.Unsetenv("HOLDFAST_SERVERS")
	cfg, err := client.ConfigFromEnv()
	if err != nil {
		log.Fatal(err) // it names the variable
	}
	cfg.Logger = slog.Default() // and stores, hooks and other settings
	fmt.Println(cfg.Servers)
	// Output: [tcp://a:9007/amps/json tcp://b:9007/amps/json]
}

// A client whose certificate is its user. The files are read at each connection, so a renewed
// certificate needs no restart.
func ExampleConfig_certificate() {
	cfg := client.Config{
		Name:       "order-gateway",
		Servers:    []string{"tcps://a:9007/amps/json", "tcps://b:9007/amps/json"},
		RequireTLS: true,
		TLS: &tls.Config{
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
				return &cert, err
			},
		},
	}
	fmt.Println(cfg.Check())
	// Output: <nil>
}
