package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// A registry is a chooser that looks up the present servers by name. It stays with a server as long
// as that server can be used. Then it tries each of the others once without delay, and after that
// it waits between attempts.
type registry struct {
	lookup  func(ctx context.Context) ([]string, error)
	current int
}

// Next implements client.ServerChooser. The client calls it from one goroutine, before each
// attempt. last describes the end of the last attempt.
func (r *registry) Next(ctx context.Context, last client.Outcome) (client.Choice, error) {
	servers, err := r.lookup(ctx)
	if err != nil {
		return client.Choice{Delay: time.Second}, err
	}
	if len(servers) == 0 {
		return client.Choice{Delay: time.Second}, errors.New("the registry has no server")
	}
	if last.Err != nil {
		r.current++
	}
	choice := client.Choice{Server: servers[r.current%len(servers)]}
	if last.Attempts >= len(servers) && last.Uptime < 5*time.Second {
		choice.Delay = rand.N(time.Second) // spread the attempts of many clients
	}
	return choice, nil
}

// A client finds its servers in the application's own registry.
func ExampleServerChooser() {
	pair := newExamplePair()
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	connected := make(chan string, 10)
	c, err := client.Dial(ctx, client.Config{
		Name:    "order-gateway",
		Chooser: &registry{lookup: func(context.Context) ([]string, error) { return pair.servers, nil }},
		Dial:    pair.Dial,
		Hooks:   client.Hooks{Connected: func(s client.ServerInfo) { connected <- s.Server }},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	fmt.Println("connected to", <-connected)
	pair.A.Kill()
	fmt.Println("connected to", <-connected)
	// Output:
	// connected to tcp://a:9007/amps/json
	// connected to tcp://b:9007/amps/json
}
