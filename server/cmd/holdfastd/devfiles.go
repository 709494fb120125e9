package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/certs"
	"github.com/holdfast-mq/holdfast/internal/heldport"
	"github.com/holdfast-mq/holdfast/internal/users"
)

const (
	devUser     = "dev"
	devValidFor = 30 * 24 * time.Hour // of the certificates
)

// devPorts are the addresses for clients, operators and links: those of a and of b in turn.
type devPorts struct {
	addresses [6]string
	held      []*heldport.Port
}

// holdPorts returns consecutive ports, or free ones if first is 0. These stay reserved until free.
func holdPorts(first int) (p devPorts, err error) {
	for n := range p.addresses {
		if first > 0 {
			p.addresses[n] = net.JoinHostPort("127.0.0.1", strconv.Itoa(first+n))
			continue
		}
		port, err := heldport.Hold()
		if err != nil {
			p.free()
			return p, err
		}
		p.held = append(p.held, port)
		p.addresses[n] = port.Address
	}
	for _, port := range p.held { // after the last Hold, which could get one of them otherwise
		port.Lend()
	}
	return p, nil
}

func (p *devPorts) free() {
	for _, port := range p.held {
		port.Free()
	}
}

// makeFiles writes the configurations, and the files of users and TLS that they name.
func (d *dev) makeFiles(addresses [6]string) error {
	for n, name := range []string{"a", "b"} {
		d.instances = append(d.instances, &devInstance{
			name: name, config: d.path(name + ".yaml"), clients: addresses[n], admin: addresses[2+n], links: addresses[4+n],
		})
	}
	if !d.pair {
		d.instances = d.instances[:1]
	}
	for n, i := range d.instances {
		if err := os.WriteFile(i.config, []byte(d.configuration(i, d.instances[len(d.instances)-1-n])), 0o600); err != nil {
			return err
		}
	}
	if d.users {
		if err := d.makeUser(); err != nil {
			return err
		}
	}
	if d.tls {
		return d.makeCertificates()
	}
	return nil
}

func (d *dev) path(name string) string { return filepath.Join(d.dir, name) }

// configuration returns the configuration of an instance. peer is the other one of a pair.
func (d *dev) configuration(i, peer *devInstance) string {
	var users, portTLS, linkTLS, dials string
	if peer != i && peer == d.instances[0] { // a waits for b: it starts first
		dials = fmt.Sprintf(", address: %q", peer.links)
	}
	if d.users {
		users = ", users: users.yaml"
	}
	if d.tls {
		portTLS = ", tls: {cert: cert.pem, key: key.pem}"
		linkTLS = "  tls: {cert: cert.pem, key: key.pem, ca: ca.pem}\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Made by holdfastd dev, to try things out: not for production.\nname: %s\ndata: %[1]s\n", i.name)
	fmt.Fprintf(&text, "clients: {listen: %q%s%s}\nadmin: {listen: %q%s}\ndrain_timeout: 2s\n", i.clients, portTLS, users, i.admin, portTLS)
	if d.pair {
		fmt.Fprintf(&text, "group: dev\nreplication:\n  listen: %q\n%s  destinations: [{name: %s, downgrade_after: 2s%s}]\n", i.links, linkTLS, peer.name, dials)
	}
	return text.String()
}

// makeUser writes the file of the users, and that of the password.
func (d *dev) makeUser() error {
	password := rand.Text()
	if err := os.WriteFile(d.path("password"), []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	all := []string{".*"}
	return users.Add(d.path("users.yaml"), users.NewUser{Name: devUser, Password: users.Password{Text: password}, Publish: all, Subscribe: all})
}

// makeCertificates makes an authority, whose key is not kept, and one certificate for all instances:
// for clients it has their host names, and for links their own names.
func (d *dev) makeCertificates() error {
	until := time.Now().Add(devValidFor)
	authority, err := certs.NewAuthority(until)
	if err != nil {
		return err
	}
	names := []string{"localhost", "127.0.0.1"}
	for _, i := range d.instances {
		names = append(names, i.name)
	}
	certificate, err := authority.Certificate(until, names...)
	if err != nil {
		return err
	}
	return authority.Files(d.dir, certificate)
}

// welcome prints the lines to paste.
func (d *dev) welcome() {
	scheme, web, page := "tcp://", "", "http://"
	if d.tls {
		scheme, web, page = "tcps://", "https://", "https://"
	}
	var servers, admins, pages []string
	for _, i := range d.instances {
		servers = append(servers, scheme+i.clients+"/amps/json")
		admins = append(admins, web+i.admin)
		pages = append(pages, page+i.admin+"/")
	}
	exported := "export " + addToPath() + "HOLDFAST_SERVERS=" + strings.Join(servers, ",")
	if d.users {
		exported += " HOLDFAST_USER=" + devUser + " HOLDFAST_PASSWORD_FILE=" + shellWord(d.path("password"))
	}
	if d.tls {
		exported += " HOLDFAST_TLS_CA=" + shellWord(d.path("ca.pem"))
	}
	d.say("For trying things out, not for production. Paste into other terminals:\n")
	d.say("%s", exported)
	d.say("holdfast subscribe --topic dates")
	d.say("while sleep 1; do date; done | holdfast publish --topic dates")
	d.say("holdfast status %s\n", strings.Join(admins, " "))
	d.say("Look at it in a browser: %s. Metrics for Prometheus are at /metrics.", strings.Join(pages, " and "))
	if d.pair {
		d.say("Type 'kill a' here to see a failover to b, and 'start a' to start it again.")
	}
	if !d.keep {
		d.say("Ctrl-C stops all, and removes the messages with %s.", d.dir)
	}
}

// addToPath returns the assignment that lets a shell find the command holdfast beside this program,
// or "" if that is not necessary or it is not there.
func addToPath() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	dir := filepath.Dir(self)
	beside, err := exec.LookPath(filepath.Join(dir, "holdfast"))
	if found, _ := exec.LookPath("holdfast"); err != nil || found == beside {
		return ""
	}
	return "PATH=" + shellWord(dir) + ":$PATH "
}

// shellWord quotes a text for a shell if necessary.
func shellWord(text string) string {
	if regexp.MustCompile(`^[\w/.:-]+$`).MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
