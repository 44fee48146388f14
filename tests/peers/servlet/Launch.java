import java.io.File;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

/** Runs the servlet in an embedded Tomcat on a free port of 127.0.0.1, for the test. */
public class Launch {
    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[0]);
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", new File(arguments[0]).getAbsolutePath());
        var servlet = Tomcat.addServlet(context, "notify", new NotifyServlet());
        if (arguments.length > 1) {
            servlet.addInitParameter("secret", arguments[1]);
        }
        context.addServletMappingDecoded("/*", "notify");
        tomcat.start();
        System.out.println("listening on 127.0.0.1:" + tomcat.getConnector().getLocalPort());
        tomcat.getServer().await();
    }
}
