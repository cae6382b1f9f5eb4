import java.io.FileInputStream;
import java.io.FileReader;
import java.io.FileWriter;
import java.io.InputStream;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Collection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.est.ESTException;
import org.bouncycastle.est.ESTService;
import org.bouncycastle.est.EnrollmentResponse;
import org.bouncycastle.est.jcajce.JcaHttpAuthBuilder;
import org.bouncycastle.est.jcajce.JsseESTServiceBuilder;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

/**
 * Bouncy Castle's EST client with the JDK's TLS.
 *
 * <pre>
 * Est SERVER ANCHORS cacerts
 * Est SERVER ANCHORS csrattrs
 * Est SERVER ANCHORS enroll SECRET KEY-OUT CERTIFICATE-OUT     asks again once a second while it is pending
 * Est SERVER ANCHORS reenroll KEY CHAIN KEY-OUT CERTIFICATE-OUT
 * </pre>
 *
 * Ends with 0 when it got what it asked for, with 1 when it was refused; prints a word for each step.
 */
public final class Est {
    private final String server;
    private final X509TrustManager trust;

    private Est(String server, String anchors) throws Exception {
        this.server = server;
        KeyStore store = emptyStore();
        int n = 0;
        for (Certificate anchor : read(anchors)) {
            store.setCertificateEntry("anchor" + n++, anchor);
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(store);
        this.trust = (X509TrustManager) factory.getTrustManagers()[0];
    }

    public static void main(String[] a) throws Exception {
        Est est = new Est(a[0], a[1]);
        try {
            switch (a[2]) {
                case "cacerts":
                    for (Object ca : est.service().build().getCACerts().getCertificateStore().getMatches(null)) {
                        System.out.println("ca " + ((X509CertificateHolder) ca).getSubject());
                    }
                    break;
                case "csrattrs":
                    Collection<ASN1ObjectIdentifier> wanted =
                        est.service().build().getCSRAttributes().getAttributesResponse().getRequirements();
                    for (ASN1ObjectIdentifier one : wanted) {
                        System.out.println("attribute " + one);
                    }
                    break;
                case "enroll":
                    est.enroll(a[3], a[4], a[5]);
                    break;
                case "reenroll":
                    est.reenroll(a[3], a[4], a[5], a[6]);
                    break;
                default:
                    throw new IllegalArgumentException(a[2]);
            }
        } catch (ESTException refused) {
            InputStream body = refused.getBody();
            String said = body == null ? "" : new String(body.readAllBytes(), "UTF-8").trim();
            System.out.println("refused " + refused.getMessage() + " " + said);
            System.exit(1);
        }
    }

    private JsseESTServiceBuilder service() {
        return new JsseESTServiceBuilder(server, trust).withTimeout(60_000);
    }

    private void enroll(String secret, String keyOut, String out) throws Exception {
        KeyPair pair = newKey(keyOut);
        ESTService service = service().build();
        EnrollmentResponse answer = service.simpleEnroll(
            false, request(pair), new JcaHttpAuthBuilder("pump", secret.toCharArray()).build());
        while (!answer.isCompleted()) {
            long seconds = (answer.getNotBefore() - System.currentTimeMillis() + 500) / 1000;
            System.out.println("pending " + seconds);
            // A person is quick in a test; Retry-After is for the field.
            Thread.sleep(1000);
            answer = service.simpleEnroll(answer);
        }
        write(out, answer.getStore().getMatches(null).iterator().next());
        System.out.println("issued");
    }

    private void reenroll(String key, String chain, String keyOut, String out) throws Exception {
        KeyStore store = emptyStore();
        store.setKeyEntry("device", keyIn(key), new char[0], read(chain).toArray(new Certificate[0]));
        KeyManagerFactory factory = KeyManagerFactory.getInstance("PKIX");
        factory.init(store, new char[0]);
        ESTService service = service().withKeyManagers(factory.getKeyManagers()).build();
        EnrollmentResponse answer = service.simpleEnroll(true, request(newKey(keyOut)), null);
        write(out, answer.getStore().getMatches(null).iterator().next());
        System.out.println("issued");
    }

    private static KeyStore emptyStore() throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        return store;
    }

    private static Collection<Certificate> read(String file) throws Exception {
        try (InputStream in = new FileInputStream(file)) {
            @SuppressWarnings("unchecked")
            Collection<Certificate> all =
                (Collection<Certificate>) CertificateFactory.getInstance("X.509").generateCertificates(in);
            return all;
        }
    }

    private static KeyPair newKey(String file) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(256);
        KeyPair pair = generator.generateKeyPair();
        // PKCS#8: in its own form the JDK leaves the curve out, which OpenSSL does not read.
        write(file, new JcaPKCS8Generator(pair.getPrivate(), null));
        return pair;
    }

    private static PrivateKey keyIn(String file) throws Exception {
        try (PEMParser parser = new PEMParser(new FileReader(file))) {
            return new JcaPEMKeyConverter().getPrivateKey((PrivateKeyInfo) parser.readObject());
        }
    }

    private static PKCS10CertificationRequest request(KeyPair pair) throws Exception {
        return new JcaPKCS10CertificationRequestBuilder(new X500Name("CN=pump"), pair.getPublic())
            .build(new JcaContentSignerBuilder("SHA256withECDSA").build(pair.getPrivate()));
    }

    private static void write(String file, Object object) throws Exception {
        try (JcaPEMWriter writer = new JcaPEMWriter(new FileWriter(file))) {
            writer.writeObject(object);
        }
    }
}
