// Command attack tries to make a pair of real instances lose or forge messages of
// honest publishers, without any credential, and, as a hostile server, to make the
// SDK do so. All honest messages must be in both journals, once and in order, or
// have been reported to their publisher as failed.
//
// Towards the pair:
//
//	names    logons under lives that collide with a publisher's id under the protocol's
//	         hash, or that are another client's name
//	numbers  sessions of a publisher whose life is known (a copied store) that send 2^63-1,
//	         leave numbers out, or give other contents to numbers
//	races    one identity published to both instances at the same moment, with two contents
//	links    strangers on the replication port: noise, and instances of another
//	         name, of a peer's name, of the group, with journals of their own
//
// As a server, which lies beside the pair in the client's list:
//
//	rollback that it has more of the store than there is
//	counts   a number from which a plain session can't count on
//	marks    progress marks that name a million publishers
//
// With -exhaust it measures the cost of one hostile client instead, with half a core, against a pair
// without users, on which bytes per second have no limit: see greedy.go.
//
// With -secured it attacks a pair with TLS, users and permissions, and measures in the same way. The
// attackers have three roles:
//
//	nobody  has no credentials: wrong passwords and proofs, challenges without end, handshakes that
//	        are garbage, that never end or of which there are too many, strangers on the links
//	guest   has a user without rights: publishes and subscribes everything, takes names, lives,
//	        publishers and users of others, and has more sessions and publishers than it may
//	noisy   has a user with rights and limits: floods, subscriptions that cost much, lives of others
//
// Well-behaved users publish and subscribe meanwhile. They must lose nothing and get nothing twice,
// and nothing that a role may not publish may be in a journal. See secured.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/rig"
)

func main() { os.Exit(run()) }

func run() int {
	duration := flag.Duration("duration", 30*time.Second, "how long the pair is attacked")
	seed := flag.Uint64("seed", rand.Uint64()>>32, "seed of the attacks; random if not given")
	keep := flag.Bool("keep", false, "keep the directory with stores, journals and logs")
	binary := flag.String("binary", "", "a holdfastd; built from this checkout if not given")
	exhausts := flag.Bool("exhaust", false, "measure the cost of hostile clients instead")
	secures := flag.Bool("secured", false, "attack a pair with TLS, users and permissions instead, and measure the cost")
	only := flag.String("only", "", "with -exhaust or -secured: the attackers whose names contain this")
	greedy := flag.String("greedy", "", "run as the attacker of that name, against the instance at -clients and -links")
	var target target
	flag.StringVar(&target.clients, "clients", "", "address of the client port")
	flag.StringVar(&target.links, "links", "", "address of the replication port")
	flag.StringVar(&target.authority, "authority", "", "file with the certificate of the authority of a secured pair")
	flag.StringVar(&target.life, "life", "", "life of a publisher of a secured pair that is away")
	flag.Parse()
	if *greedy != "" {
		return runGreedyAttacker(*greedy, target)
	}
	if flag.NArg() > 0 || *duration <= 0 {
		fmt.Fprintln(os.Stderr, "attack: -duration must be positive, and there are no arguments")
		return 2
	}
	if *exhausts {
		return rig.Rig{Name: "exhaust", Keep: *keep, Binary: *binary}.Run(func(ctx context.Context, dir, binary string) (bool, error) {
			return exhaust(ctx, dir, binary, attackersNamed(greedyAttackers, *only))
		})
	}
	if *secures {
		return rig.Rig{Name: "secured", Keep: *keep, Binary: *binary}.Run(func(ctx context.Context, dir, binary string) (bool, error) {
			return attackSecured(ctx, dir, binary, attackersNamed(securedAttackers, *only))
		})
	}
	fmt.Printf("seed %d\n", *seed)
	return rig.Rig{Name: "attack", Keep: *keep, Binary: *binary}.Run(func(ctx context.Context, dir, binary string) (bool, error) {
		return attack(ctx, dir, binary, *duration, *seed)
	})
}
