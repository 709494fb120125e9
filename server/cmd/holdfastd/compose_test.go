package main_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/holdfast-mq/holdfast/internal/heldport"
)

// deploy is the directory of the compose file.
const deploy = "../../deploy"

// A composition is the part of server/deploy/compose.yaml that the tests look at.
type composition struct {
	Services map[string]container
	Volumes  map[string]any
}

// A container is a service of the compose file.
type container struct {
	Image      string
	Build      struct{ Context, Dockerfile string }
	Entrypoint []string
	Command    []string
	Volumes    []string
	Ports      []string
}

func (c container) isOurs() bool { return c.Build.Context != "" }

// mounts returns the files of the container and their sources, relative to deploy, or the names of
// volumes.
func (c container) mounts() map[string]string {
	sources := make(map[string]string)
	for _, v := range c.Volumes {
		source, target, _ := strings.Cut(v, ":")
		target, _, _ = strings.Cut(target, ":")
		sources[target] = source
	}
	return sources
}

// arguments returns the command line of the container: the entry point of its image, unless it has one
// itself, and its command.
func (c container) arguments(t *testing.T) []string {
	t.Helper()
	if len(c.Entrypoint) > 0 {
		return slices.Concat(c.Entrypoint, c.Command)
	}
	file := filepath.Join(deploy, c.Build.Context, c.Build.Dockerfile)
	text := regexp.MustCompile(`(?m)^ENTRYPOINT (.+)$`).FindSubmatch(readAll(t, file))
	var entrypoint []string
	if text == nil || json.Unmarshal(text[1], &entrypoint) != nil {
		t.Fatalf("%s has no ENTRYPOINT", file)
	}
	return append(entrypoint, c.Command...)
}

func readAll(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal(readAll(t, file), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func readComposition(t *testing.T) (c composition) {
	t.Helper()
	readYAML(t, filepath.Join(deploy, "compose.yaml"), &c)
	if len(c.Services) != 4 || !c.Services["a"].isOurs() || !c.Services["b"].isOurs() {
		t.Fatalf("the services are %+v", c.Services)
	}
	return c
}

// What the compose file mounts exists, its images have versions, and no port can be reached from
// another machine.
func TestComposeFile(t *testing.T) {
	c := readComposition(t)
	for name, s := range c.Services {
		if !s.isOurs() && !regexp.MustCompile(`^docker\.io/.+:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
			t.Errorf("%s: the image %s has no version", name, s.Image)
		}
		for target, source := range s.mounts() {
			_, isVolume := c.Volumes[source]
			info, err := os.Stat(filepath.Join(deploy, source))
			if !isVolume && (!strings.HasPrefix(source, "./") || err != nil || !info.Mode().IsRegular()) {
				t.Errorf("%s: %s at %s is neither a file (%v) nor a volume", name, source, target, err)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: the port %s is not published on loopback alone", name, port)
			}
		}
	}
}

// Prometheus asks the admin ports of the instances and reads the rules that are mounted; Grafana asks
// Prometheus and shows the dashboard that is mounted.
func TestComposeMonitoring(t *testing.T) {
	c := readComposition(t)
	var prometheus struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, filepath.Join(deploy, "compose/prometheus.yml"), &prometheus)
	for _, file := range prometheus.RuleFiles {
		if c.Services["prometheus"].mounts()[file] == "" {
			t.Errorf("the rules %s are not mounted", file)
		}
	}
	var asked, admins []string
	for _, scrape := range prometheus.ScrapeConfigs {
		for _, static := range scrape.StaticConfigs {
			asked = append(asked, static.Targets...)
		}
	}
	for name, s := range c.Services {
		if !s.isOurs() {
			continue
		}
		var config struct{ Admin struct{ Listen string } }
		readYAML(t, filepath.Join(deploy, s.mounts()["/etc/holdfast.yaml"]), &config)
		_, port, _ := net.SplitHostPort(config.Admin.Listen)
		admins = append(admins, net.JoinHostPort(name, port))
	}
	slices.Sort(admins)
	if slices.Sort(asked); !slices.Equal(asked, admins) {
		t.Errorf("Prometheus asks %v, the instances listen at %v", asked, admins)
	}
	var source struct{ Datasources []struct{ URL string } }
	readYAML(t, filepath.Join(deploy, "compose/grafana-datasource.yaml"), &source)
	if len(source.Datasources) != 1 || source.Datasources[0].URL != "http://prometheus:9090" {
		t.Errorf("the data sources are %+v", source)
	}
	var dashboards struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, filepath.Join(deploy, "compose/grafana-dashboards.yaml"), &dashboards)
	for _, p := range dashboards.Providers {
		if c.Services["grafana"].mounts()[p.Options.Path+"/holdfast.json"] != "./grafana-dashboard.json" {
			t.Errorf("%s has no dashboard", p.Options.Path)
		}
	}
}

// An asProcess runs an instance of the compose file without a container: its files are below root,
// and each of its ports is one of the test.
type asProcess struct {
	container
	root  string
	ports map[string]string // address of each port
}

// TestComposeInstances runs the two instances of the compose file, with the command lines and
// configurations that they have there, until both are in sync.
func TestComposeInstances(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	t.Parallel()
	var there, back []string // names of ports in the network of the containers, and addresses
	instances := make(map[string]*asProcess)
	for name, s := range readComposition(t).Services {
		if !s.isOurs() {
			continue
		}
		i := &asProcess{container: s, root: t.TempDir(), ports: make(map[string]string)}
		config := readAll(t, filepath.Join(deploy, s.mounts()["/etc/holdfast.yaml"]))
		for _, m := range regexp.MustCompile(`0\.0\.0\.0:(\d+)`).FindAllSubmatch(config, -1) {
			port := string(m[1])
			i.ports[port] = heldport.ForTest(t)
			there, back = append(there, net.JoinHostPort(name, port)), append(back, i.ports[port])
		}
		instances[name] = i
	}
	var processes []*process
	var admins []string
	for _, i := range instances {
		processes = append(processes, i.start(t, there, back))
		admins = append(admins, i.ports["8085"])
	}
	for _, p := range processes {
		p.awaitReady()
	}
	(&drill{T: t}).await(func() (bool, string) {
		said, err := exec.Command(statusCommand(t), append([]string{"status"}, admins...)...).CombinedOutput()
		return err == nil && strings.Count(string(said), "sync, counting") == 2, string(said)
	}, "the instances do not come into sync")
	for _, p := range processes { // both at once, as "docker compose down"
		p.signal(syscall.SIGTERM)
	}
	for _, p := range processes {
		if code := p.exit(); code != 0 {
			t.Errorf("exit %d; log:\n%s", code, p.stderr)
		}
	}
}

// start starts the process.
func (i *asProcess) start(t *testing.T, there, back []string) *process {
	t.Helper()
	var changes []string
	for port, address := range i.ports {
		changes = append(changes, "0.0.0.0:"+port, address)
	}
	for n := range there {
		changes = append(changes, there[n], back[n])
	}
	for target := range i.mounts() {
		changes = append(changes, " "+target+"\n", " "+i.inside(target)+"\n")
	}
	for target, source := range i.mounts() {
		if !strings.HasPrefix(source, "./") {
			continue // a volume, which begins empty
		}
		text := strings.NewReplacer(changes...).Replace(string(readAll(t, filepath.Join(deploy, source))))
		if err := os.MkdirAll(filepath.Dir(i.inside(target)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(i.inside(target), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := i.arguments(t)
	if args[0] != "/holdfastd" {
		t.Fatalf("the container runs %q", args)
	}
	for n, arg := range args {
		if _, mounted := i.mounts()[arg]; mounted {
			args[n] = i.inside(arg)
		}
	}
	return startCommand(t, exec.Command(daemon, args[1:]...))
}

// inside returns the path of a file of the container.
func (i *asProcess) inside(target string) string { return filepath.Join(i.root, target) }
