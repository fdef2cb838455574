package app;

import com.google.gson.GsonBuilder;
import java.util.LinkedHashMap;
import java.util.Map;

/** Prints a greeting and its runtime as JSON. */
public final class App {
  public static void main(String[] args) {
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("hello", args[0]);
    answer.put("java", Runtime.version().feature());
    answer.put("modules", ModuleLayer.boot().modules().size());
    System.out.println(new GsonBuilder().create().toJson(answer));
  }
}
