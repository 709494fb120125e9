// Command oidc is a server whose clients log on with access tokens of an OpenID Connect issuer. A
// file says what each group of users may do. It is meant to be copied: README.md lists the changes
// for production.
//
//	cd examples/oidc
//	go run . -issuer https://id.example.com -audience holdfast -permissions permissions.yaml
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast-mq/holdfast/server"
)

// options are the values of the flags.
type options struct {
	issuer, audience, permissions, listen, data string
}

func main() {
	var o options
	flag.StringVar(&o.issuer, "issuer", "", "`URL` of the issuer, as in the claim iss of its tokens")
	flag.StringVar(&o.audience, "audience", "", "`name` of this service, as in the claim aud of the tokens")
	flag.StringVar(&o.permissions, "permissions", "permissions.yaml", "YAML `file` with the permissions of each group")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:9007", "`address` of the client port; port 0 takes a free port")
	flag.StringVar(&o.data, "data", "data", "`directory` of the journal")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once: the journal allows it
	if err := run(ctx, o, os.Stdout); err != nil {
		log.Fatal("oidc: ", err)
	}
}

// run serves until ctx ends or the server fails. It prints the address once the port is bound. When
// ctx ends it accepts no more logons and waits for outstanding acks, for 10 seconds at most.
func run(ctx context.Context, o options, stdout io.Writer) error {
	t, err := loadTable(o.permissions)
	if err != nil {
		return err
	}
	i, err := openIssuer(ctx, issuerConfig{url: o.issuer, audience: o.audience, log: slog.Default()})
	if err != nil {
		return err
	}
	defer i.close()
	a := newAccess(i, t)
	s, err := server.Start(server.Config{
		Name: "oidc", Data: o.data, Clients: server.ClientPort{Listen: o.listen},
		Authenticator: a, Authorizer: a, Logger: slog.Default(),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening %s\n", s.Addr())
	select {
	case <-ctx.Done():
		err = s.Shutdown(context.Background())
	case <-s.Done():
	}
	return errors.Join(err, s.Err())
}
