package server

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/reload"
)

// LoggingConfig describes the log of an instance. (The log of messages is LogConfig.)
type LoggingConfig struct {
	// Level is the lowest level that is logged: debug, info, warn or error. Default info.
	// Server.SetLogLevel changes it while the instance runs.
	Level string `yaml:"level"`
	// Format is the format in which holdfastd writes its log: text or json. Default text. An
	// application that runs the server as a library chooses the format by the handler of
	// Config.Logger.
	Format string `yaml:"format"`
}

func defaultLogging() LoggingConfig { return LoggingConfig{Level: "info", Format: "text"} }

func (l LoggingConfig) withDefaults() LoggingConfig {
	d := defaultLogging()
	orDefault(&l.Level, d.Level)
	orDefault(&l.Format, d.Format)
	return l
}

// logLevels are the levels by name.
var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// level returns the level. A config that was checked has one.
func (l LoggingConfig) level() slog.Level { return logLevels[l.Level] }

// logging checks the part of a config about the log.
func (k *configChecker) logging(l LoggingConfig) {
	if _, known := logLevels[l.Level]; !known {
		k.addProblem("logging.level", "is %q: it must be debug, info, warn or error", l.Level)
	}
	if l.Format != "text" && l.Format != "json" {
		k.addProblem("logging.format", "is %q: it must be text or json", l.Format)
	}
}

// LogLevel returns the lowest level that is logged.
func (s *Server) LogLevel() slog.Level { return s.logs.level.Level() }

// SetLogLevel sets the lowest level that is logged, until Reload or a change of logging.level in
// the configuration file sets it again. The handler of Config.Logger may leave out more.
func (s *Server) SetLogLevel(level slog.Level) {
	before := s.logs.level.Level()
	if level == before {
		return
	}
	s.logs.level.Set(min(level, before, slog.LevelInfo)) // so that the line is not left out
	s.log.Info("the log level has changed", "before", before, "log_level", level)
	s.logs.level.Set(level)
}

// openLogging watches the configuration file, if the config comes from one.
func (f *files) openLogging(c *Config) error {
	if c.file == "" {
		return nil
	}
	v, err := reload.New(func() (Config, error) { return LoadConfig(c.file) }, c.file)
	if err != nil {
		return err
	}
	f.config = v.Get
	f.watched = append(f.watched, watchedFiles{field: "logging", reloader: v, changed: (*Server).configChanged})
	return nil
}

// configChanged applies the part about the log of a configuration file that was read again. The
// rest of the file counts at the next start.
func (s *Server) configChanged() {
	now := s.files.config()
	s.SetLogLevel(now.Logging.level())
	if s.cfg.OnLogFormat != nil {
		s.cfg.OnLogFormat(now.Logging.Format)
	}
	logging := func(setting string) bool { return strings.HasPrefix(setting, "logging.") }
	old, fresh := slices.DeleteFunc(slices.Clone(s.settings), logging), slices.DeleteFunc(now.settings(), logging)
	if !slices.Equal(old, fresh) {
		s.log.Warn("the configuration has changed: all but its part logging counts at the next start of the instance", "file", s.cfg.file)
	}
}

// settings returns the fields of a config file that differ from their defaults, as path=value, in
// the order of the fields. Secrets are not in it: a config file has only the names of their files.
func (c *Config) settings() []string {
	defaults := defaults()
	return changedFields("", reflect.ValueOf(&defaults).Elem(), reflect.ValueOf(c).Elem())
}

// changedFields compares two structs.
func changedFields(parent string, defaults, values reflect.Value) (changed []string) {
	for i := range values.NumField() {
		name := values.Type().Field(i).Tag.Get("yaml")
		if name == "" || name == "-" || reflect.DeepEqual(values.Field(i).Interface(), defaults.Field(i).Interface()) {
			continue
		}
		changed = append(changed, fieldValues(strings.TrimPrefix(parent+"."+name, "."), defaults.Field(i), values.Field(i))...)
	}
	return changed
}

// fieldValues returns the values of a field that is not the default, one by one if it is a struct.
func fieldValues(path string, def, value reflect.Value) []string {
	if _, is := value.Interface().(fmt.Stringer); is && value.Kind() != reflect.Pointer {
		return []string{fmt.Sprintf("%s=%v", path, value.Interface())}
	}
	switch value.Kind() {
	case reflect.Pointer:
		if value.IsNil() {
			return []string{path + "=none"}
		}
		if def.IsNil() {
			def = reflect.New(value.Type().Elem())
		}
		return changedFields(path, def.Elem(), value.Elem())
	case reflect.Struct:
		return changedFields(path, def, value)
	case reflect.Slice:
		if value.Type().Elem().Kind() != reflect.Struct {
			break
		}
		var all []string
		for i := range value.Len() {
			zero := reflect.Zero(value.Type().Elem())
			all = append(all, changedFields(fmt.Sprintf("%s[%d]", path, i), zero, value.Index(i))...)
		}
		return all
	}
	return []string{fmt.Sprintf("%s=%v", path, value.Interface())}
}
