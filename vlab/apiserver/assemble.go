package apiserver

import (
	"fmt"
	"net"
	"net/url"
	"time"

	noopoteltrace "go.opentelemetry.io/otel/trace/noop"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	extoptions "k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	authz "k8s.io/apiserver/pkg/authorization/authorizer"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes/scheme"
	basecompatibility "k8s.io/component-base/compatibility"
	"k8s.io/kube-openapi/pkg/common"
)

// Version is what GET /version calls this server: the release of Kubernetes' libraries, and that it is a laboratory.
const Version = "v1.37.2-vlab"

const (
	// shutdownTimeout is for connections that are in use: a watch never ends by itself, and the server watches itself.
	shutdownTimeout = 250 * time.Millisecond
	// inFlight is above any number of clients that a test starts: a laboratory has no reason to answer 429.
	inFlight = 2000
)

// assemble builds upstream's server from its parts and installs ours beside them.
func (s *Server) assemble(o Options, ln net.Listener, etcdEndpoint string) (prepared, error) {
	etcd := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig("/registry", apiextserver.Codecs.LegacyCodec(apiextv1.SchemeGroupVersion)))
	etcd.StorageConfig.Transport.ServerList = []string{etcdEndpoint}
	// package etcd compacts by itself; two compactors only get in each other's way
	etcd.StorageConfig.CompactionInterval = 0

	cfg := genericapiserver.NewRecommendedConfig(apiextserver.Codecs)
	if err := genericoptions.NewServerRunOptions().ApplyTo(&cfg.Config); err != nil {
		return nil, err
	}
	cfg.EffectiveVersion = labVersion{cfg.EffectiveVersion}
	cfg.ExternalAddress = ln.Addr().String()
	cfg.ShutdownDelayDuration = 0
	cfg.MaxRequestsInFlight, cfg.MaxMutatingRequestsInFlight = inFlight, inFlight
	if err := s.secure(o, ln, cfg); err != nil {
		return nil, err
	}
	if err := etcd.ApplyTo(&cfg.Config); err != nil {
		return nil, err
	}
	cfg.Authentication.Authenticator = authenticator(s.policy)
	rules := authorizer{s.policy}
	cfg.Authorization.Authorizer = authz.AuthorizerFunc(rules.Authorize)
	cfg.RuleResolver = rules
	cfg.MergedResourceConfig = apiextserver.DefaultAPIResourceConfigSource()
	cfg.AdmissionControl = newNamespaceMustExist()
	describe(cfg)

	ext := &apiextserver.Config{
		GenericConfig: cfg,
		ExtraConfig: apiextserver.ExtraConfig{
			CRDRESTOptionsGetter: extoptions.NewCRDRESTOptionsGetter(*etcd, cfg.ResourceTransformers, cfg.StorageObjectCountTracker),
			MasterCount:          1, // more would delay every new CRD by five seconds
			ServiceResolver:      noServices{},
			AuthResolverWrapper:  webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, cfg.LoopbackClientConfig, noopoteltrace.NewTracerProvider()),
		},
	}
	apis := new(groupList)
	srv, err := ext.Complete().New(genericapiserver.NewEmptyDelegateWithCustomHandler(apis))
	if err != nil {
		return nil, err
	}
	generic := srv.GenericAPIServer
	generic.ShutdownTimeout = shutdownTimeout
	namespaces, err := installNamespaces(generic, cfg.RESTOptionsGetter)
	if err != nil {
		return nil, fmt.Errorf("install namespaces: %w", err)
	}
	cfg.AdmissionControl.(*namespaceMustExist).store = namespaces
	if err := generic.AddPostStartHook("default-namespace", namespaces.createDefault); err != nil {
		return nil, err
	}
	if err := installReviews(generic, rules); err != nil {
		return nil, fmt.Errorf("install access reviews: %w", err)
	}
	if err := apis.serve(srv); err != nil {
		return nil, fmt.Errorf("serve discovery: %w", err)
	}
	s.handler, s.loopback = generic.Handler, cfg.LoopbackClientConfig.BearerToken
	return generic.PrepareRun(), nil
}

func (s *Server) secure(o Options, ln net.Listener, cfg *genericapiserver.RecommendedConfig) error {
	certs, err := loadPKI(pkiDir(o), hosts(ln.Addr()), time.Now())
	if err != nil {
		return err
	}
	s.CA = certs.caPEM
	addr := ln.Addr().(*net.TCPAddr)
	sec := genericoptions.NewSecureServingOptions()
	sec.Listener, sec.BindAddress, sec.BindPort = ln, addr.IP, addr.Port
	sec.MinTLSVersion = "VersionTLS12"
	sec.ServerCert.CertKey = genericoptions.CertKey{CertFile: certs.cert, KeyFile: certs.certKey}
	return sec.WithLoopback().ApplyTo(&cfg.SecureServing, &cfg.LoopbackClientConfig)
}

// describe sets up OpenAPI for the built-in types; CRDs bring their own.
func describe(cfg *genericapiserver.RecommendedConfig) {
	defs := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
		all := generatedopenapi.GetOpenAPIDefinitions(ref)
		addDefinitions(all, ref, append(namespaceTypes(), reviewTypes()...)...)
		return all
	})
	namer := openapinamer.NewDefinitionNamer(apiextserver.Scheme, scheme.Scheme)
	cfg.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(defs, namer)
	cfg.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(defs, namer)
	cfg.OpenAPIConfig.Info.Title, cfg.OpenAPIV3Config.Info.Title = "vlab", "vlab"
	cfg.OpenAPIConfig.Info.Version, cfg.OpenAPIV3Config.Info.Version = Version, Version
}

type labVersion struct {
	basecompatibility.EffectiveVersion
}

func (v labVersion) Info() *apimachineryversion.Info {
	info := *v.EffectiveVersion.Info()
	info.GitVersion, info.GitTreeState = Version, "clean"
	info.GitCommit, info.BuildDate = "", ""
	info.Major, info.Minor = "1", "37"
	return &info
}

type noServices struct{}

func (noServices) ResolveEndpoint(ns, name string, port int32) (*url.URL, error) {
	return nil, fmt.Errorf("vlab has no services: %s/%s:%d", ns, name, port)
}
